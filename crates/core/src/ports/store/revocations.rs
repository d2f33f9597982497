use std::time::Duration;

use async_trait::async_trait;
use time::OffsetDateTime;

use super::{Snapshot, StoreError};
use crate::{
    pieces::Pieces,
    values::{KeyTag, SessionId, UserId, Version},
};

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

/// What the same transaction did to the user: what is done again where a failover lost it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Effect {
    /// His password was changed.
    Password,
    /// He may not sign in any more.
    Disable,
    /// His sessions were ended, and nothing else.
    Sessions,
    /// He got or lost the admin role.
    Admin,
    /// He was deleted.
    Delete,
}

impl Effect {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Password,
        Self::Disable,
        Self::Sessions,
        Self::Admin,
        Self::Delete,
    ];

    /// As stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::Disable => "disable",
            Self::Sessions => "sessions",
            Self::Admin => "admin",
            Self::Delete => "delete",
        }
    }

    /// The one that is stored so.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|effect| effect.as_str() == text)
    }
}

/// Which transaction stored a revocation. A transaction's number means something on its timeline
/// only: a failover that loses transactions uses their numbers again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Stamp {
    /// Rises with each promotion; 0 where there are none.
    pub timeline: u32,
    /// The transaction's number.
    pub xid: u64,
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
    /// Rises with each entry, and is used once, whatever a failover loses. 0: the entry itself is
    /// not known, only what it says.
    pub id: i64,
    /// What is over.
    pub revoked: Revoked,
    /// What else was done, where the store may have to do it again.
    pub effect: Option<Effect>,
    /// When it may be forgotten.
    pub until: OffsetDateTime,
    /// Which transaction stored it.
    pub stamp: Stamp,
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
    /// Both.
    pub const ALL: [Self; 2] = [Self::Everywhere, Self::Pending];

    /// The word on the wire (`x-revocation`, `sso-revocation`).
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Everywhere => "everywhere",
            Self::Pending => "pending",
        }
    }
}

/// What a beat asks.
#[derive(Clone, Copy)]
pub struct Question<'a> {
    /// What does not matter any more at this time need not be told.
    pub now: OffsetDateTime,
    /// Everything that this instance holds: on a new timeline, what the primary lacks of it is
    /// written back.
    pub held: &'a (dyn Fn() -> Vec<Revocation> + Send + Sync),
    /// Something is held that the primary may lack: register anew, and write it back.
    pub anew: bool,
    /// Somebody said that something was committed: this beat is to bring it.
    pub expects: bool,
}

/// The answer to a beat. It certifies the instance from the moment on at which the question was
/// sent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Answer {
    /// What still matters and was in no earlier answer, or all that still matters.
    pub entries: Pieces<Revocation>,
    /// Whose numbers the snapshot names.
    pub timeline: u32,
    /// What was visible when it was given: all of that is in this answer or an earlier one.
    pub snapshot: Snapshot,
    /// What the store's clock said then, where it has one of its own.
    pub at: Option<OffsetDateTime>,
}

/// How an instance learns of revocations that others commit, and they of its obedience.
#[async_trait]
pub trait RevocationFeed: Send + Sync {
    /// One beat: every revocation that still matters and was not in an earlier answer. None is
    /// skipped, in whatever order commits interleave. Asking says that everything of the earlier
    /// answers is obeyed; that is what others wait for. Never called twice at once. An error
    /// certifies nothing. Dropping it before it is ready costs the connection, nothing else.
    async fn beat(&self, question: Question<'_>) -> Result<Answer, StoreError>;

    /// Waits until every other instance obeys `revocation`, at most for `wait`. To be called when
    /// the COMMIT was answered, not before.
    async fn acknowledged(
        &self,
        revocation: &Revocation,
        wait: Duration,
    ) -> Result<Reach, StoreError>;

    /// Nobody need wait for this instance any more. It has stopped trusting what it holds, and
    /// asks no more.
    async fn leave(&self) -> Result<(), StoreError>;
}

/// Revocations commit with what caused them.
#[async_trait]
pub trait RevocationWrites {
    /// Stores a revocation.
    async fn revoke(&mut self, revocation: &NewRevocation) -> Result<Revocation, StoreError>;

    /// What was revoked before, as if it was now: stores nothing, and its id is nobody's to hold.
    /// Whoever [has](RevocationFeed::acknowledged) it after the commit has all that was committed
    /// before this transaction saw it, whoever committed that and on which timeline.
    async fn revoked_before(
        &mut self,
        revocation: &NewRevocation,
    ) -> Result<Revocation, StoreError>;
}
