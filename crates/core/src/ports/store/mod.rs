//! The store: reads that say how fresh they must be, and transactions.
//!
//! `begin` hands out a [`Tx`]; dropping it rolls back. Not found is `Ok(None)`. One-shot
//! transitions return what happened, because that is the use case's to judge. Every lifecycle rule
//! is also a condition in the SQL: a use case that forgets to check cannot break it.

mod audit;
mod error;
mod keys;
mod lifecycle;
mod lives;
mod login;
mod networks;
mod outbox;
mod revocations;
mod sessions;
mod snapshot;
mod users;

use async_trait::async_trait;

pub use audit::{
    Actor, AuditAction, AuditPage, AuditRecord, AuditResult, AuditStore, AuditWrites, MAX_DETAIL,
    NewAudit,
};
pub use error::{Constraint, StoreError};
pub use keys::{KeyStore, KeyUse, KeyWrites, RETIRED_KEYS_KEPT, RetiredKey, Retirement, SealedKey};
pub use lifecycle::{
    Imported, ImportedUser, JanitorStore, LifecycleWrites, Swept, UserDataReads, UserEvent,
};
pub use lives::LifeWrites;
pub use login::{LoggedIn, NewLogin, Until};
pub use networks::{MAX_NETWORKS, NetworkReads};
pub use outbox::{
    Backlog, Delivered, EventPage, EventStatus, Moved, NewEvent, OutboxStore, OutboxWrites,
    PendingEvent, StoredEvent,
};
pub use revocations::{
    Answer, Effect, NewRevocation, Question, Reach, Revocation, RevocationFeed, RevocationWrites,
    Revoked, Stamp,
};
pub use sessions::{
    Ended, Liveness, NewSession, Rotate, Rotated, Rotation, Session, SessionStore, SessionWrites,
};
pub use snapshot::{NotASnapshot, Snapshot};
pub use users::{NewUser, PasswordChange, User, UserPage, UserStore, UserWrites};

/// How fresh a read must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// Whatever is near; what is not there is looked for on the primary.
    Any,
    /// At least this version of the row.
    AtLeast(crate::values::Version),
    /// What the primary says now.
    Primary,
}

/// Everything that is stored.
#[async_trait]
pub trait Store:
    UserStore
    + SessionStore
    + NetworkReads
    + OutboxStore
    + KeyStore
    + RevocationFeed
    + AuditStore
    + UserDataReads
    + JanitorStore
    + Send
    + Sync
{
    /// Starts a transaction on the primary.
    async fn begin(&self) -> Result<Box<dyn Tx>, StoreError>;

    /// Opens the session of a login, ends what is beyond the sessions that its user keeps, and
    /// records it, in one transaction that is committed when this returns; a store beyond a network
    /// sends it at once. `None`: what was seen is stale, nothing was done, and the change that it
    /// met is committed.
    async fn log_in(&self, login: &NewLogin<'_>) -> Result<Option<LoggedIn>, StoreError> {
        let mut tx = self.begin().await?;
        let done = login::steps(tx.as_mut(), login).await?;
        tx.commit().await?;
        Ok(done)
    }

    /// Whether the primary answers.
    async fn ping(&self) -> Result<(), StoreError>;
}

/// A transaction: what it wrote is seen by nobody before [`Tx::commit`], and never if it is
/// dropped.
#[async_trait]
pub trait Tx:
    UserWrites
    + SessionWrites
    + RevocationWrites
    + OutboxWrites
    + KeyWrites
    + AuditWrites
    + LifecycleWrites
    + LifeWrites
    + Send
{
    /// Stores a user, the event that tells of him, and his first session if one is given: all that
    /// a registration writes of him, so that a store beyond a network can send it at once. No
    /// session comes back if none was given.
    async fn register(
        &mut self,
        user: &NewUser,
        event: &NewEvent,
        session: Option<&NewSession>,
    ) -> Result<(User, Option<Session>), StoreError> {
        let user = self.insert_user(user).await?;
        self.append_event(event).await?;
        let Some(session) = session else {
            return Ok((user, None));
        };
        let opened = self.open_session(session, user.version).await?;
        Ok((user, opened.map(|(_, session)| session)))
    }

    /// Makes it durable. Fails if any statement of the transaction failed.
    ///
    /// Where commits are grouped a transaction can see what others have not committed yet; when
    /// this returns it is committed. So commit also what only looked, before acting on what it saw.
    async fn commit(self: Box<Self>) -> Result<(), StoreError>;
}
