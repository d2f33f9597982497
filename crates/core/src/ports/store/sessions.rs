use std::{net::IpAddr, time::Duration};

use async_trait::async_trait;
use time::OffsetDateTime;

use super::{StoreError, User};
use crate::{
    caller::Agent,
    values::{SessionId, UserId, Version},
};

/// A session's row: one per session, not per refresh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// `sid` of its tokens.
    pub id: SessionId,
    /// Whose.
    pub user: UserId,
    /// The user's version that it was made under.
    pub version: Version,
    /// Rises with each refresh; the refresh token names it. The first is 0.
    pub generation: u64,
    /// Microseconds.
    pub created_at: OffsetDateTime,
    /// When it reached its generation: its last use.
    pub rotated_at: OffsetDateTime,
    /// Never moves.
    pub expires_at: OffsetDateTime,
    /// When it was ended, if it was ended by itself.
    pub revoked_at: Option<OffsetDateTime>,
    /// Of the client that opened it.
    pub address: Option<IpAddr>,
    /// Of the client that opened it.
    pub agent: Option<Agent>,
}

/// A session to be opened, at generation 0.
#[derive(Debug, Clone)]
pub struct NewSession {
    /// Made by the use case.
    pub id: SessionId,
    /// Whose.
    pub user: UserId,
    /// Microseconds.
    pub created_at: OffsetDateTime,
    /// The absolute end.
    pub expires_at: OffsetDateTime,
    /// Of the client.
    pub address: Option<IpAddr>,
    /// Of the client.
    pub agent: Option<Agent>,
}

/// What a session must be past, or not be past, to be alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Liveness {
    /// It ends after this.
    pub now: OffsetDateTime,
    /// It was last used after this. `None`: there is no idle limit.
    pub used_after: Option<OffsetDateTime>,
}

impl Liveness {
    /// Alive at `now` where there is no idle limit.
    pub const fn at(now: OffsetDateTime) -> Self {
        Self {
            now,
            used_after: None,
        }
    }

    /// Whether a session that ends then and was last used then is alive.
    pub fn holds(&self, expires_at: OffsetDateTime, rotated_at: OffsetDateTime) -> bool {
        expires_at > self.now && self.used_after.is_none_or(|after| rotated_at > after)
    }
}

/// The use of a refresh token.
#[derive(Debug, Clone, Copy)]
pub struct Rotate {
    /// `sid` of the token.
    pub session: SessionId,
    /// `gen` of the token.
    pub generation: u64,
    /// Becomes `rotated_at`.
    pub now: OffsetDateTime,
    /// A session whose last use is not after this is over. `None`: there is no idle limit.
    pub used_after: Option<OffsetDateTime>,
    /// How long after a rotation the generation before it gets the same answer again; the last
    /// moment included.
    pub grace: Duration,
}

/// The rows as they are after a rotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotated {
    /// The session.
    pub session: Session,
    /// Its user.
    pub user: User,
}

/// What the use of a refresh token did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rotation {
    /// The generation moved to the token's + 1. So it does when the token is ahead of the row: it
    /// can only be ours, from a rotation that a failover lost.
    Rotated(Box<Rotated>),
    /// Nothing moved: within the grace after the rotation of just this generation. The loser of a
    /// race and who never saw the answer get the same refresh token.
    Replayed(Box<Rotated>),
    /// Nothing moved: an older generation than that, within the grace.
    Late,
    /// Nothing moved: an older generation, after the grace. Somebody else has used it.
    Reused(Box<Session>),
    /// The session is over: revoked, expired, idle for too long, its user disabled, or older than what ended his
    /// sessions.
    Over,
    /// No such session.
    Unknown,
}

impl Rotate {
    /// What it is that the compare-and-swap moved nothing, by the rows as they are; the grace counts
    /// from `from`.
    pub fn missed(&self, rows: Rotated, from: OffsetDateTime) -> Rotation {
        let Rotated { session, user } = rows;
        let alive = Liveness {
            now: self.now,
            used_after: self.used_after,
        };
        let over = session.revoked_at.is_some()
            || !alive.holds(session.expires_at, session.rotated_at)
            || user.disabled
            || session.version < user.sessions_from;
        if over {
            Rotation::Over
        } else if self.now > from + self.grace {
            Rotation::Reused(Box::new(session))
        } else if self.generation.checked_add(1) == Some(session.generation) {
            Rotation::Replayed(Box::new(Rotated { session, user }))
        } else {
            Rotation::Late
        }
    }
}

/// What ending a session did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// It ended now: the caller is the one who ended it.
    Now(Box<Session>),
    /// It was ended before. Not so if it only expired, or its user's sessions are over: an access
    /// token may outlive that, so ending it still means something.
    Before,
    /// No such session, or not this user's.
    Unknown,
}

/// Reads of sessions, and the one hot statement.
#[async_trait]
pub trait SessionStore {
    /// The session with this id, alive or not, from the primary.
    async fn session(&self, id: SessionId) -> Result<Option<Session>, StoreError>;

    /// The user's sessions that are alive, newest first, from the primary.
    async fn live_sessions(
        &self,
        user: UserId,
        alive: Liveness,
    ) -> Result<Vec<Session>, StoreError>;

    /// Uses a refresh token: one compare-and-swap, durable when it returns. Of any number of
    /// parallel uses of one token one is [`Rotation::Rotated`].
    async fn rotate(&self, rotate: Rotate) -> Result<Rotation, StoreError>;
}

/// Changes of sessions.
#[async_trait]
pub trait SessionWrites {
    /// Opens a session of a user who is not disabled and whose version is still `seen`, and returns
    /// both rows: what tokens are made from. `None`: what was read is stale. The network of its
    /// address is one that the user's account [knows](super::NetworkReads) from then on.
    async fn open_session(
        &mut self,
        session: &NewSession,
        seen: Version,
    ) -> Result<Option<(User, Session)>, StoreError>;

    /// Ends a session, once; only if it is `user`'s, when one is given.
    async fn end_session(
        &mut self,
        id: SessionId,
        user: Option<UserId>,
        now: OffsetDateTime,
    ) -> Result<Ended, StoreError>;

    /// Ends the user's oldest live sessions but `keep` of them, now, and returns those.
    async fn end_oldest_sessions(
        &mut self,
        user: UserId,
        keep: u32,
        alive: Liveness,
    ) -> Result<Vec<Session>, StoreError>;
}
