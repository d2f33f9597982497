//! Sessions.

use async_trait::async_trait;
use rusqlite::{Connection, named_params};
use sso_core::{
    Agent,
    ports::{
        StoreError,
        store::{
            Ended, Liveness, NewSession, Rotate, Rotated, Rotation, Session, SessionStore,
            SessionWrites, User,
        },
    },
    values::{SessionId, UserId, Version},
};
use time::OffsetDateTime;

use crate::{
    codec::{self, integer, micros, version},
    fault::Fault,
    networks,
    query::{all, first},
    store::SqliteStore,
    tx::SqliteTx,
    users,
};

const BY_ID: &str = "SELECT * FROM sessions WHERE id = :id";

const LIVE: &str = "
    SELECT s.* FROM sessions s JOIN users u ON u.id = s.user_id
    WHERE s.user_id = :user AND s.revoked_at IS NULL AND s.expires_at > :now
      AND s.rotated_at > :used_after
      AND s.version >= u.sessions_from AND NOT u.disabled
    ORDER BY s.created_at DESC, s.id DESC";

const ROTATE: &str = "
    UPDATE sessions SET generation = :generation + 1, rotated_at = :now
    WHERE id = :id AND generation <= :generation AND revoked_at IS NULL AND expires_at > :now
      AND rotated_at > :used_after
      AND EXISTS (SELECT 1 FROM users u WHERE u.id = sessions.user_id
                  AND sessions.version >= u.sessions_from AND NOT u.disabled)
    RETURNING *";

const OPEN: &str = "
    INSERT INTO sessions (id, user_id, version, generation, created_at, rotated_at, expires_at,
                          revoked_at, address, agent)
    SELECT :id, u.id, u.version, 0, :created_at, :created_at, :expires_at, NULL, :address, :agent
    FROM users u WHERE u.id = :user AND u.version = :seen AND NOT u.disabled
    RETURNING *";

const END: &str = "
    UPDATE sessions SET revoked_at = :now
    WHERE id = :id AND revoked_at IS NULL AND (:user IS NULL OR user_id = :user)
    RETURNING *";

const END_OLDEST: &str = "
    UPDATE sessions SET revoked_at = :now
    WHERE id IN (SELECT s.id FROM sessions s JOIN users u ON u.id = s.user_id
                 WHERE s.user_id = :user AND s.revoked_at IS NULL AND s.expires_at > :now
                   AND s.rotated_at > :used_after
                   AND s.version >= u.sessions_from AND NOT u.disabled
                 ORDER BY s.created_at DESC, s.id DESC LIMIT -1 OFFSET :keep)
    RETURNING *";

#[cfg(test)]
pub(crate) const STATEMENTS: &[&str] = &[BY_ID, LIVE, ROTATE, OPEN, END, END_OLDEST];

fn by_id(connection: &Connection, id: SessionId) -> Result<Option<Session>, Fault> {
    first(
        connection,
        BY_ID,
        named_params! {":id": id.as_uuid().into_bytes()},
        codec::session,
    )
}

/// Every time lies after the earliest one: then there is no idle limit.
fn used_after(time: Option<OffsetDateTime>) -> i64 {
    time.map_or(i64::MIN, micros)
}

/// The foreign key promises him.
fn user_of(connection: &Connection, session: &Session) -> Result<User, Fault> {
    users::by_id(connection, session.user)?.ok_or(Fault::Undecodable("sessions.user_id"))
}

fn rotate(connection: &Connection, rotate: &Rotate) -> Result<Rotation, Fault> {
    let moved = first(
        connection,
        ROTATE,
        named_params! {
            ":id": rotate.session.as_uuid().into_bytes(),
            ":generation": integer("generation", rotate.generation)?,
            ":now": micros(rotate.now),
            ":used_after": used_after(rotate.used_after),
        },
        codec::session,
    )?;
    if let Some(session) = moved {
        let user = user_of(connection, &session)?;
        return Ok(Rotation::Rotated(Box::new(Rotated { session, user })));
    }
    let Some(session) = by_id(connection, rotate.session)? else {
        return Ok(Rotation::Unknown);
    };
    let user = user_of(connection, &session)?;
    // Of the same transaction.
    let from = session.rotated_at;
    Ok(rotate.missed(Rotated { session, user }, from))
}

pub(crate) fn open(
    connection: &Connection,
    new: &NewSession,
    seen: Version,
) -> Result<Option<(User, Session)>, Fault> {
    let session = first(
        connection,
        OPEN,
        named_params! {
            ":id": new.id.as_uuid().into_bytes(),
            ":user": new.user.as_uuid().into_bytes(),
            ":seen": version(seen)?,
            ":created_at": micros(new.created_at),
            ":expires_at": micros(new.expires_at),
            ":address": new.address.map(|address| address.to_string()),
            ":agent": new.agent.as_ref().map(Agent::as_str),
        },
        codec::session,
    )?;
    let Some(session) = session else {
        return Ok(None);
    };
    networks::remember(connection, &session)?;
    Ok(Some((user_of(connection, &session)?, session)))
}

fn end(
    connection: &Connection,
    id: SessionId,
    user: Option<UserId>,
    now: OffsetDateTime,
) -> Result<Ended, Fault> {
    let ended = first(
        connection,
        END,
        named_params! {
            ":id": id.as_uuid().into_bytes(),
            ":user": user.map(|user| user.as_uuid().into_bytes()),
            ":now": micros(now),
        },
        codec::session,
    )?;
    if let Some(session) = ended {
        return Ok(Ended::Now(Box::new(session)));
    }
    Ok(match by_id(connection, id)? {
        Some(session) if user.is_none_or(|user| user == session.user) => Ended::Before,
        _ => Ended::Unknown,
    })
}

pub(crate) fn end_oldest(
    connection: &Connection,
    user: UserId,
    keep: u32,
    alive: Liveness,
) -> Result<Vec<Session>, Fault> {
    let mut ended = all(
        connection,
        END_OLDEST,
        named_params! {
            ":user": user.as_uuid().into_bytes(),
            ":keep": keep,
            ":now": micros(alive.now),
            ":used_after": used_after(alive.used_after),
        },
        codec::session,
    )?;
    // RETURNING promises no order.
    ended.sort_by_key(|session| (session.created_at, session.id));
    Ok(ended)
}

#[async_trait]
impl SessionStore for SqliteStore {
    async fn session(&self, id: SessionId) -> Result<Option<Session>, StoreError> {
        self.read(move |connection| by_id(connection, id)).await
    }

    async fn live_sessions(
        &self,
        user: UserId,
        alive: Liveness,
    ) -> Result<Vec<Session>, StoreError> {
        self.read(move |connection| {
            let params = named_params! {
                ":user": user.as_uuid().into_bytes(),
                ":now": micros(alive.now),
                ":used_after": used_after(alive.used_after),
            };
            all(connection, LIVE, params, codec::session)
        })
        .await
    }

    async fn rotate(&self, of: Rotate) -> Result<Rotation, StoreError> {
        self.write(move |connection| rotate(connection, &of)).await
    }
}

#[async_trait]
impl SessionWrites for SqliteTx {
    async fn open_session(
        &mut self,
        session: &NewSession,
        seen: Version,
    ) -> Result<Option<(User, Session)>, StoreError> {
        let session = session.clone();
        self.step(move |connection| open(connection, &session, seen))
            .await
    }

    async fn end_session(
        &mut self,
        id: SessionId,
        user: Option<UserId>,
        now: OffsetDateTime,
    ) -> Result<Ended, StoreError> {
        self.step(move |connection| end(connection, id, user, now))
            .await
    }

    async fn end_oldest_sessions(
        &mut self,
        user: UserId,
        keep: u32,
        alive: Liveness,
    ) -> Result<Vec<Session>, StoreError> {
        self.step(move |connection| end_oldest(connection, user, keep, alive))
            .await
    }
}
