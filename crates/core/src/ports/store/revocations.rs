use std::time::Duration;

use async_trait::async_trait;
use time::OffsetDateTime;

use super::StoreError;
use crate::values::{KeyTag, SessionId, UserId, Version};

/// What is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Revoked {
    /// A session with all its tokens; also one token of the seed, by the session that follows from
    /// its bytes.
    Session(SessionId),
    /// The user's tokens whose `ver` is below this version.
    TokensBelow(UserId, Version),
    /// A signing key: every token that it signed.
    Key(KeyTag),
}

/// A revocation to be committed with what caused it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewRevocation {
    /// What is over.
    pub revoked: Revoked,
    /// After this no token that it concerns can be valid by its `exp`: it may be forgotten.
    pub until: OffsetDateTime,
}

/// A committed revocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revocation {
    /// Rises with each entry.
    pub id: i64,
    /// What is over.
    pub revoked: Revoked,
    /// When it may be forgotten.
    pub until: OffsetDateTime,
}

/// Who obeys a revocation when it is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reach {
    /// Every instance.
    Everywhere,
    /// This instance; the others after the lease at the latest.
    Pending,
}

impl Reach {
    /// The word on the wire (`x-revocation`, `sso-revocation`).
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Everywhere => "everywhere",
            Self::Pending => "pending",
        }
    }
}

/// How an instance learns of revocations that others commit, and they of its obedience.
#[async_trait]
pub trait RevocationFeed {
    /// One beat: every revocation that still matters at `now` and was not in an earlier answer.
    /// None is skipped, in whatever order commits interleave. Never called twice at once.
    async fn beat(&self, now: OffsetDateTime) -> Result<Vec<Revocation>, StoreError>;

    /// Tells that this instance obeys everything of its answers up to here.
    async fn confirm(&self) -> Result<(), StoreError>;

    /// Waits until every other instance obeys `revocation`, at most for `wait`.
    async fn acknowledged(&self, revocation: i64, wait: Duration) -> Result<Reach, StoreError>;
}

/// Revocations commit with what caused them.
#[async_trait]
pub trait RevocationWrites {
    /// Stores a revocation.
    async fn revoke(&mut self, revocation: &NewRevocation) -> Result<Revocation, StoreError>;
}
