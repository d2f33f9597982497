use async_trait::async_trait;
use time::OffsetDateTime;

use super::{Freshness, StoreError};
use crate::values::{Birthday, Email, Name, PasswordHash, UserId, Version};

/// A user's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Primary key; never comes back after a deletion.
    pub id: UserId,
    /// Unique by its canonical form.
    pub email: Email,
    /// Whether somebody proved to read this mailbox.
    pub email_verified: bool,
    /// Argon2id, or bcrypt until the next login.
    pub password_hash: PasswordHash,
    /// As typed.
    pub name: Option<Name>,
    /// Day of birth.
    pub birthday: Option<Birthday>,
    /// May administer.
    pub is_admin: bool,
    /// May not sign in.
    pub disabled: bool,
    /// Rises with every change of this row.
    pub version: Version,
    /// Sessions of a lower version are over.
    pub sessions_from: Version,
    /// Microseconds.
    pub created_at: OffsetDateTime,
}

impl User {
    /// Whether this row lets tokens of `version` go on: not if it ended them, nor if they are of a
    /// future that a failover lost.
    pub fn honours(&self, version: Version) -> bool {
        !self.disabled && (self.sessions_from..=self.version).contains(&version)
    }
}

/// A user to be stored. His version is the first of the timeline.
#[derive(Debug, Clone)]
pub struct NewUser {
    /// Made by the use case.
    pub id: UserId,
    /// Must be free.
    pub email: Email,
    /// Of a password that the policy took.
    pub password_hash: PasswordHash,
    /// As typed.
    pub name: Option<Name>,
    /// Day of birth.
    pub birthday: Option<Birthday>,
    /// May administer.
    pub is_admin: bool,
    /// Microseconds.
    pub created_at: OffsetDateTime,
}

/// A new password, which ends every session.
#[derive(Debug, Clone)]
pub struct PasswordChange {
    /// Whose.
    pub user: UserId,
    /// Only if the row still has this version: what the current password was verified against.
    /// `None` for an admin, who need not know it.
    pub seen: Option<Version>,
    /// Of the new password.
    pub password_hash: PasswordHash,
}

/// Which users to list, by id, which is also by time of registration.
#[derive(Debug, Clone, Copy)]
pub struct UserPage {
    /// Those after this one.
    pub after: Option<UserId>,
    /// At most this many.
    pub limit: u32,
}

/// Reads of users, and the one write that needs no transaction.
#[async_trait]
pub trait UserStore {
    /// The user with this canonical address.
    async fn user_by_email(
        &self,
        email: &Email,
        fresh: Freshness,
    ) -> Result<Option<User>, StoreError>;

    /// The user with this id.
    async fn user(&self, id: UserId, fresh: Freshness) -> Result<Option<User>, StoreError>;

    /// A page of users, from the primary.
    async fn users(&self, page: UserPage) -> Result<Vec<User>, StoreError>;

    /// Replaces a hash that was verified against by one of the current parameters, if it is still
    /// the one stored. Changes no version.
    async fn rehash(
        &self,
        user: UserId,
        verified: &PasswordHash,
        new: &PasswordHash,
    ) -> Result<bool, StoreError>;
}

/// Changes of users. Each raises the row's version and returns the new row, `None` if there is no
/// such user (or the guard does not hold). Setting what is set already changes nothing: the row
/// comes back as it is.
#[async_trait]
pub trait UserWrites {
    /// Stores a user; the unique constraint on the canonical address decides.
    async fn insert_user(&mut self, user: &NewUser) -> Result<User, StoreError>;

    /// Sets the password and ends every session (`sessions_from` becomes the new version).
    async fn set_password(&mut self, change: &PasswordChange) -> Result<Option<User>, StoreError>;

    /// Disables (and ends every session) or enables.
    async fn set_disabled(&mut self, user: UserId, to: bool) -> Result<Option<User>, StoreError>;

    /// Grants or takes the admin role. Sessions go on; their tokens are made anew from the row.
    async fn set_admin(&mut self, user: UserId, to: bool) -> Result<Option<User>, StoreError>;

    /// Ends every session.
    async fn end_user_sessions(&mut self, user: UserId) -> Result<Option<User>, StoreError>;
}
