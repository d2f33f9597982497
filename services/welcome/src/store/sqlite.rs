//! In SQLite, for one instance.

use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{OptionalExtension, Result as SqlResult, Transaction, params};
use sso_service::{
    database::{StoreError, forgotten, sqlite::Sqlite},
    world::now,
};
use uuid::Uuid;

use super::{Claim, Mail, Progress, Store};

pub(super) struct InSqlite(pub(super) Sqlite);

const CLAIM: &str = "
    INSERT INTO mails (event_id, user_id, noted_at, claimed_by, claimed_until)
    VALUES (?1, ?2, ?3, ?4, ?5)
    ON CONFLICT (event_id) DO UPDATE
    SET claimed_by = excluded.claimed_by, claimed_until = excluded.claimed_until
    WHERE sent_at IS NULL AND (claimed_until <= ?3 OR claimed_by = excluded.claimed_by)
    RETURNING true";
const LOOK: &str = "
    SELECT sent_at IS NOT NULL, user_id IS NULL, claimed_until FROM mails WHERE event_id = ?1";
const SENT: &str = "UPDATE mails SET sent_at = ?2 WHERE event_id = ?1 AND sent_at IS NULL";
const RELEASE: &str = "
    UPDATE mails SET claimed_until = 0
    WHERE event_id = ?1 AND claimed_by = ?2 AND sent_at IS NULL";
const RELEASE_ALL: &str = "UPDATE mails SET claimed_until = 0 WHERE sent_at IS NULL";
const FORGET: &str = "UPDATE mails SET user_id = NULL WHERE user_id = ?1";
const CLEAN: &str = "
    DELETE FROM mails WHERE event_id IN
        (SELECT event_id FROM mails WHERE noted_at < ?1 ORDER BY noted_at LIMIT ?2)";

impl InSqlite {
    pub(super) async fn release_all(&self) -> Result<(), StoreError> {
        self.0.write(|tx| tx.execute(RELEASE_ALL, [])).await?;
        Ok(())
    }
}

#[async_trait]
impl Store for InSqlite {
    async fn claim(&self, mail: Mail, by: Uuid, hold: Duration) -> Result<Claim, StoreError> {
        let at = now().unix_timestamp();
        let until = at.saturating_add(seconds(hold));
        let work = move |tx: &Transaction<'_>| {
            if forgotten::holds_in_sqlite(tx, mail.user)? {
                return Ok(Claim::Forgotten);
            }
            let (event, user) = (mail.event.into_bytes(), mail.user.into_bytes());
            let mut statement = tx.prepare_cached(CLAIM)?;
            let values = params![event, user, at, by.into_bytes(), until];
            let granted: Option<bool> = statement.query_row(values, |row| row.get(0)).optional()?;
            if granted.is_some() {
                return Ok(Claim::Granted);
            }
            Ok(progress(tx, mail.event, at)?.refusal())
        };
        self.0.write(work).await
    }

    async fn progress(&self, event: Uuid) -> Result<Progress, StoreError> {
        let at = now().unix_timestamp();
        self.0.write(move |tx| progress(tx, event, at)).await
    }

    async fn sent(&self, mail: Mail, _: Uuid) -> Result<(), StoreError> {
        let (event, at) = (mail.event.into_bytes(), now().unix_timestamp());
        let work = move |tx: &Transaction<'_>| tx.execute(SENT, params![event, at]);
        self.0.write(work).await.map(drop)
    }

    async fn release(&self, event: Uuid, by: Uuid) -> Result<(), StoreError> {
        let values = (event.into_bytes(), by.into_bytes());
        self.0
            .write(move |tx| tx.execute(RELEASE, values))
            .await
            .map(drop)
    }

    async fn forget(&self, user: Uuid) -> Result<u64, StoreError> {
        let work = move |tx: &Transaction<'_>| {
            forgotten::add_in_sqlite(tx, user)?;
            tx.execute(FORGET, [user.into_bytes()])
        };
        Ok(self.0.write(work).await? as u64)
    }

    async fn clean(&self, age: Duration, most: u32) -> Result<u64, StoreError> {
        let before = now().unix_timestamp().saturating_sub(seconds(age));
        let done = self
            .0
            .write(move |tx| tx.execute(CLEAN, params![before, most]))
            .await?;
        Ok(done as u64)
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.0
            .write(|tx| tx.query_row("SELECT 1", [], |_| Ok(())))
            .await
    }
}

fn progress(tx: &Transaction<'_>, event: Uuid, at: i64) -> SqlResult<Progress> {
    let mut statement = tx.prepare_cached(LOOK)?;
    let found = statement.query_row([event.into_bytes()], |row| {
        let left = row.get::<_, i64>(2)?.saturating_sub(at);
        let left = Duration::from_secs(u64::try_from(left).unwrap_or_default());
        Ok(Progress::of(row.get(0)?, row.get(1)?, left))
    });
    Ok(found.optional()?.unwrap_or(Progress::Untried))
}

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}
