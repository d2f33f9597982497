//! Sessions.

use async_trait::async_trait;
use sso_core::{
    Agent, Network,
    ports::{
        StoreError,
        store::{
            Ended, Liveness, NewSession, Rotate, Rotation, Session, SessionStore, SessionWrites,
            User,
        },
    },
    values::{SessionId, UserId, Version},
};
use time::OffsetDateTime;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::{
    codec::{self, Columns, session_columns, user_columns, version},
    commit::Witness,
    error::Fault,
    networks,
    store::PostgresStore,
    tx::PostgresTx,
};

const BY_ID: &str = concat!(
    "SELECT ",
    session_columns!(),
    " FROM sessions s WHERE s.id = $1"
);

const LIVE: &str = concat!(
    "SELECT ",
    session_columns!(),
    " FROM sessions s JOIN users u ON u.id = s.user_id
     WHERE s.user_id = $1 AND s.revoked_at IS NULL AND s.expires_at > $2
       AND ($3::timestamptz IS NULL OR s.rotated_at > $3)
       AND s.version >= u.sessions_from AND NOT u.disabled
     ORDER BY s.created_at DESC, s.id DESC"
);

/// Inserts where the user's row is still the one that was seen; returns the row that it was
/// inserted under, the session, and whether its network is a new one. Without a version to be seen it
/// is for the row that the same transaction has just made. The lock makes the check one
/// of the row as it is now, and lets one login of a user after the other count his sessions.
pub(crate) const OPEN: &str = concat!(
    "WITH u AS (SELECT * FROM users
                WHERE id = $2 AND ($3::bigint IS NULL OR version = $3) AND NOT disabled
                FOR NO KEY UPDATE),
          s AS (INSERT INTO sessions AS s (id, user_id, version, generation, created_at, rotated_at,
                                           expires_at, revoked_at, address, agent)
                SELECT $1::uuid, u.id, u.version, 0, $4, $4, $5, NULL, $6, $7 FROM u
                RETURNING ",
    session_columns!(),
    "),
          n AS (INSERT INTO known_networks (user_id, network, since)
                SELECT u.id, $8::bigint, $4 FROM u
                WHERE $8 IS NOT NULL AND NOT EXISTS (
                    SELECT 1 FROM known_networks k
                    WHERE k.user_id = u.id AND k.network = $8
                      AND k.since > $4 - interval '1 day')
                ON CONFLICT (user_id, network) DO UPDATE SET since = excluded.since
                WHERE known_networks.since < excluded.since - interval '1 day'
                RETURNING 1)
     SELECT ",
    user_columns!(),
    ", ",
    session_columns!(),
    ", EXISTS (SELECT 1 FROM n) FROM u, s"
);

const END: &str = concat!(
    "UPDATE sessions s SET revoked_at = $3
     WHERE s.id = $1 AND s.revoked_at IS NULL AND ($2::uuid IS NULL OR s.user_id = $2)
     RETURNING ",
    session_columns!()
);

const END_OLDEST: &str = concat!(
    "UPDATE sessions s SET revoked_at = $3
     WHERE s.id = ANY (ARRAY(
         SELECT o.id FROM sessions o JOIN users u ON u.id = o.user_id
         WHERE o.user_id = $1 AND o.revoked_at IS NULL AND o.expires_at > $3
           AND ($4::timestamptz IS NULL OR o.rotated_at > $4)
           AND o.version >= u.sessions_from AND NOT u.disabled
         ORDER BY o.created_at DESC, o.id DESC OFFSET $2))
       AND s.revoked_at IS NULL
     RETURNING ",
    session_columns!()
);

#[cfg(test)]
pub(crate) const STATEMENTS: &[&str] = &[BY_ID, LIVE, OPEN, END, END_OLDEST];

#[async_trait]
impl SessionStore for PostgresStore {
    async fn session(&self, id: SessionId) -> Result<Option<Session>, StoreError> {
        self.read_first(BY_ID, &[&id.as_uuid()], codec::session)
            .await
    }

    async fn live_sessions(
        &self,
        user: UserId,
        alive: Liveness,
    ) -> Result<Vec<Session>, StoreError> {
        let user = user.as_uuid();
        self.read_all(
            LIVE,
            &[&user, &alive.now, &alive.used_after],
            codec::session,
        )
        .await
    }

    async fn rotate(&self, of: Rotate) -> Result<Rotation, StoreError> {
        self.rotate_with_others(of).await
    }
}

/// The parameters of [`OPEN`].
pub(crate) struct Opening<'a> {
    id: Uuid,
    user: Uuid,
    seen: Option<i64>,
    new: &'a NewSession,
    agent: Option<&'a str>,
    network: Option<i64>,
}

impl<'a> Opening<'a> {
    pub(crate) fn of(new: &'a NewSession, seen: Option<i64>) -> Self {
        Self {
            id: new.id.as_uuid(),
            user: new.user.as_uuid(),
            seen,
            new,
            agent: new.agent.as_ref().map(Agent::as_str),
            network: networks::column(Network::of(new.address)),
        }
    }

    pub(crate) fn params(&self) -> [&(dyn ToSql + Sync); 8] {
        [
            &self.id,
            &self.user,
            &self.seen,
            &self.new.created_at,
            &self.new.expires_at,
            &self.new.address,
            &self.agent,
            &self.network,
        ]
    }
}

pub(crate) fn opened(columns: &mut Columns<'_>) -> Result<(User, Session, bool), Fault> {
    let (user, session) = codec::user_and_session(columns)?;
    Ok((user, session, columns.take("known_networks")?))
}

#[async_trait]
impl SessionWrites for PostgresTx {
    async fn open_session(
        &mut self,
        new: &NewSession,
        seen: Version,
    ) -> Result<Option<(User, Session)>, StoreError> {
        let opening = Opening::of(new, Some(version(seen)?));
        self.witness.get_or_insert(Witness::Session(opening.id));
        let found = self.first(OPEN, &opening.params(), opened).await?;
        let Some((user, session, is_new_network)) = found else {
            return Ok(None);
        };
        if is_new_network {
            self.forget_surplus_networks(user.id).await?;
        }
        Ok(Some((user, session)))
    }

    async fn end_session(
        &mut self,
        id: SessionId,
        user: Option<UserId>,
        now: OffsetDateTime,
    ) -> Result<Ended, StoreError> {
        self.durable = true;
        let (id, owner) = (id.as_uuid(), user.map(|user| user.as_uuid()));
        let ended = self
            .first(END, &[&id, &owner, &now], codec::session)
            .await?;
        if let Some(session) = ended {
            return Ok(Ended::Now(Box::new(session)));
        }
        Ok(match self.first(BY_ID, &[&id], codec::session).await? {
            Some(session) if user.is_none_or(|user| user == session.user) => Ended::Before,
            _ => Ended::Unknown,
        })
    }

    async fn end_oldest_sessions(
        &mut self,
        user: UserId,
        keep: u32,
        alive: Liveness,
    ) -> Result<Vec<Session>, StoreError> {
        let (user, keep) = (user.as_uuid(), i64::from(keep));
        let mut ended = self
            .all(
                END_OLDEST,
                &[&user, &keep, &alive.now, &alive.used_after],
                codec::session,
            )
            .await?;
        self.durable |= !ended.is_empty();
        // RETURNING promises no order.
        ended.sort_by_key(|session| (session.created_at, session.id));
        Ok(ended)
    }
}
