//! The end of what is stored: deletion of a user, export of what is known of him, the janitor.

use async_trait::async_trait;
use time::OffsetDateTime;

use super::{EventStatus, Session, StoreError, User};
use crate::values::{Birthday, Email, EventId, Name, PasswordHash, SessionId, UserId};

/// An event of a user, delivered or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserEvent {
    /// The cursor of a page.
    pub sequence: i64,
    /// The same through all deliveries.
    pub id: EventId,
    /// What happened.
    pub kind: String,
    /// The encoded message (protobuf).
    pub payload: Vec<u8>,
    /// What became of it.
    pub status: EventStatus,
    /// How often the message itself was refused.
    pub attempts: u32,
    /// Microseconds.
    pub created_at: OffsetDateTime,
    /// When the sink had it.
    pub delivered_at: Option<OffsetDateTime>,
}

/// Reads of everything that is stored of one user, from the primary, in pages.
#[async_trait]
pub trait UserDataReads {
    /// His sessions, alive or not, by id.
    async fn sessions_of(
        &self,
        user: UserId,
        after: Option<SessionId>,
        limit: u32,
    ) -> Result<Vec<Session>, StoreError>;

    /// His events, delivered or not, oldest first.
    async fn events_of(
        &self,
        user: UserId,
        after: i64,
        limit: u32,
    ) -> Result<Vec<UserEvent>, StoreError>;
}

/// A user of another system, with a hash that the hasher admits.
#[derive(Debug, Clone)]
pub struct ImportedUser {
    /// Of the other system, or made by the use case.
    pub id: UserId,
    /// Whether the id is the other system's: then it tells whether this is the same user.
    pub keeps_id: bool,
    /// Must be free.
    pub email: Email,
    /// Argon2 or bcrypt.
    pub password_hash: PasswordHash,
    /// As typed.
    pub name: Option<Name>,
    /// Day of birth.
    pub birthday: Option<Birthday>,
    /// May administer.
    pub is_admin: bool,
    /// May not sign in.
    pub disabled: bool,
    /// Microseconds.
    pub created_at: OffsetDateTime,
}

/// What became of an imported user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Imported {
    /// Stored.
    Stored,
    /// He is there already: the same address in the same spelling and, if it is kept, the same id.
    Present,
    /// Another user has the address, or it is spelt with other capitals.
    EmailTaken,
    /// Another user has the id.
    IdTaken,
    /// A deleted user had the id.
    IdDeleted,
}

/// The beginning and the end of users.
#[async_trait]
pub trait LifecycleWrites {
    /// Stores users of another system and says of each what became of him. A user who is not
    /// stored does not fail the transaction.
    async fn import_users(&mut self, users: &[ImportedUser]) -> Result<Vec<Imported>, StoreError>;

    /// Deletes a user and all that is known of him, and returns his last row. His sessions are
    /// gone; so are the contents of his events, of one that is still to be delivered once it is.
    /// Records of the audit log stay, but those by him, and those about him by nobody that is known,
    /// lose address and agent. His id never comes back.
    async fn delete_user(
        &mut self,
        user: UserId,
        now: OffsetDateTime,
    ) -> Result<Option<User>, StoreError>;
}

/// Tables from which the janitor deletes what is past its age.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Swept {
    /// Sessions by the time of their end (by expiry, or by revocation).
    Sessions,
    /// Revocations by the time until which they matter.
    Revocations,
    /// Delivered events by the time of their delivery, skipped ones by the time of the skip; and,
    /// whatever their age, events of deleted users that the sink refused for good.
    Events,
    /// Records of the audit log by their time.
    Audit,
}

impl Swept {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Sessions, Self::Revocations, Self::Events, Self::Audit];

    /// The name of the table, also in the metric.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sessions => "sessions",
            Self::Revocations => "revocations",
            Self::Events => "outbox",
            Self::Audit => "audit",
        }
    }
}

/// The janitor's side of the store.
#[async_trait]
pub trait JanitorStore {
    /// Deletes at most `limit` rows of `table` whose time lies before `before`, and says how many.
    /// One short transaction.
    async fn sweep(
        &self,
        table: Swept,
        before: OffsetDateTime,
        limit: u32,
    ) -> Result<u64, StoreError>;
}
