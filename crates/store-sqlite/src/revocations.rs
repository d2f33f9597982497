//! Revocations, and how a process learns of those that another one commits.
//!
//! One writer at a time and AUTOINCREMENT: entries become visible in the order of their ids, so
//! `id > last` skips none. `PRAGMA data_version` tells for nothing whether another connection has
//! committed anything.

use std::{process, sync::PoisonError, time::Duration};

use async_trait::async_trait;
use rusqlite::{Connection, named_params};
use sso_core::ports::{
    StoreError,
    store::{
        Answer, NewRevocation, Question, Reach, Revocation, RevocationFeed, RevocationWrites,
        Revoked, Snapshot,
    },
};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    Role,
    codec::{self, KEY, SESSION, USER, micros, version},
    fault::Fault,
    query::{all, execute, first, one, scalar},
    store::SqliteStore,
    tx::SqliteTx,
};

/// How often a command looks whether the server obeys: a tenth of the server's beat.
const POLL: Duration = Duration::from_millis(20);

const INSERT: &str = "
    INSERT INTO revocations (kind, subject, version, until)
    VALUES (:kind, :subject, :version, :until)
    RETURNING *";

const DATA_VERSION: &str = "PRAGMA data_version";

const NEWS: &str = "
    SELECT * FROM revocations WHERE id > :last AND until >= :now ORDER BY id";

const LAST: &str = "SELECT coalesce(max(id), 0) FROM revocations";

const CONFIRM: &str = "
    INSERT INTO readers (process, applied) VALUES (:process, :applied)
    ON CONFLICT (process) DO UPDATE SET applied = max(applied, excluded.applied)";

const APPLIED: &str = "SELECT min(applied) FROM readers";

const FORGET_READERS: &str = "DELETE FROM readers";

#[cfg(test)]
pub(crate) const STATEMENTS: &[&str] = &[
    INSERT,
    DATA_VERSION,
    NEWS,
    LAST,
    CONFIRM,
    APPLIED,
    FORGET_READERS,
];

/// What the beats of this process have seen.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Seen {
    /// `None` before the first beat.
    data_version: Option<i64>,
    /// Every entry up to this id was in an answer, or did not matter any more.
    last: i64,
    /// Commands know that this process obeys every entry up to this one.
    confirmed: i64,
}

/// A new server: rows of processes that are gone must not speak for it.
pub(crate) fn forget_readers(connection: &Connection) -> Result<(), Fault> {
    execute(connection, FORGET_READERS, []).map(|_| ())
}

pub(crate) fn insert(connection: &Connection, new: &NewRevocation) -> Result<Revocation, Fault> {
    let (kind, subject, below): (_, Uuid, _) = match new.revoked {
        Revoked::Session(session) => (SESSION, session.as_uuid(), None),
        Revoked::TokensBelow(user, below) => (USER, user.as_uuid(), Some(version(below)?)),
        Revoked::Key(key) => (KEY, key.as_uuid(), None),
    };
    one(
        connection,
        INSERT,
        named_params! {
            ":kind": kind,
            ":subject": subject.into_bytes(),
            ":version": below,
            ":until": micros(new.until),
        },
        codec::revocation,
    )
}

/// The version is read first: what is committed after that is seen now or changes it.
fn news(
    connection: &Connection,
    seen: Seen,
    now: OffsetDateTime,
) -> Result<(Vec<Revocation>, Seen), Fault> {
    let data_version = Some(one(connection, DATA_VERSION, [], scalar)?);
    if data_version == seen.data_version {
        return Ok((Vec::new(), seen));
    }
    let snapshot = connection.unchecked_transaction()?;
    let params = named_params! {":last": seen.last, ":now": micros(now)};
    let entries = all(&snapshot, NEWS, params, codec::revocation)?;
    let last = one(&snapshot, LAST, [], scalar::<i64>)?.max(seen.last);
    snapshot.commit()?;
    let seen = Seen {
        data_version,
        last,
        ..seen
    };
    Ok((entries, seen))
}

impl SqliteStore {
    fn seen(&self) -> Seen {
        *self
            .shared
            .seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn remember(&self, seen: Seen) {
        *self
            .shared
            .seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = seen;
    }

    /// Tells commands of what the earlier answers told, if that was anything.
    async fn confirm(&self) -> Result<(), StoreError> {
        let seen = self.seen();
        if self.shared.role == Role::Command || seen.last == seen.confirmed {
            return Ok(());
        }
        let applied = seen.last;
        self.write(move |connection| {
            let params = named_params! {":process": process::id(), ":applied": applied};
            execute(connection, CONFIRM, params).map(|_| ())
        })
        .await?;
        self.remember(Seen {
            confirmed: applied,
            ..self.seen()
        });
        Ok(())
    }

    /// Polls: `true` once no server runs, or the one that runs obeys.
    async fn is_obeyed(&self, revocation: i64) -> Result<bool, StoreError> {
        let served = self
            .shared
            .folder
            .is_served()
            .map_err(StoreError::unavailable)?;
        if !served {
            return Ok(true);
        }
        let applied: Option<i64> = self
            .shared
            .feed
            .read(|connection| Ok(first(connection, APPLIED, [], scalar)?.flatten()))
            .await?;
        Ok(applied.is_some_and(|applied| applied >= revocation))
    }
}

#[async_trait]
impl RevocationFeed for SqliteStore {
    async fn beat(&self, question: Question<'_>) -> Result<Answer, StoreError> {
        // A disk that is full keeps a command waiting, and no token from being validated.
        if let Err(error) = self.confirm().await {
            tracing::warn!(%error, "commands are not told of revocations that are obeyed");
        }
        let (seen, now) = (self.seen(), question.now);
        let (entries, seen) = self
            .shared
            .feed
            .read(move |connection| news(connection, seen, now))
            .await?;
        // Only now: of a beat that was dropped in between nothing counts as seen.
        self.remember(seen);
        Ok(Answer {
            at: None,
            entries: entries.into_iter().collect(),
            timeline: 0,
            snapshot: Snapshot::up_to(seen.last.unsigned_abs()),
        })
    }

    async fn acknowledged(
        &self,
        revocation: &Revocation,
        wait: Duration,
    ) -> Result<Reach, StoreError> {
        // There is one server for each database, and it has applied what it committed itself.
        if self.shared.role == Role::Server {
            return Ok(Reach::Everywhere);
        }
        let obeyed = async {
            while !self.is_obeyed(revocation.id).await? {
                tokio::time::sleep(POLL).await;
            }
            Ok(Reach::Everywhere)
        };
        tokio::time::timeout(wait, obeyed)
            .await
            .unwrap_or(Ok(Reach::Pending))
    }

    async fn leave(&self) -> Result<(), StoreError> {
        // Commands ask whether a server has the folder, not who has left a row.
        Ok(())
    }
}

#[async_trait]
impl RevocationWrites for SqliteTx {
    async fn revoke(&mut self, revocation: &NewRevocation) -> Result<Revocation, StoreError> {
        let revocation = *revocation;
        self.step(move |connection| insert(connection, &revocation))
            .await
    }

    async fn revoked_before(
        &mut self,
        revocation: &NewRevocation,
    ) -> Result<Revocation, StoreError> {
        let NewRevocation { revoked, until } = *revocation;
        self.step(move |connection| {
            let id = one(connection, LAST, [], scalar::<i64>)?;
            Ok(Revocation {
                id,
                revoked,
                effect: None,
                until,
                stamp: codec::stamp(id),
            })
        })
        .await
    }
}
