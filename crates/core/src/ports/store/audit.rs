use std::{borrow::Cow, net::IpAddr};

use async_trait::async_trait;
use time::OffsetDateTime;

use super::StoreError;
use crate::{
    caller::Agent,
    values::{SessionId, UserId},
};

/// Something that is worth remembering.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AuditAction {
    /// Somebody registered himself.
    Register,
    /// A login, or one that failed.
    Login,
    /// A refresh token that came a second time after the grace: the session was ended.
    RefreshReuse,
    /// A refresh token that came a second time within the grace, from another network than the
    /// session was opened from.
    RefreshReplay,
    /// A session ended by one of its tokens.
    Logout,
    /// All sessions of a user ended by one of his tokens.
    LogoutEverywhere,
    /// A user ended another session of his.
    SessionEnd,
    /// A user changed his password, or did not know it.
    PasswordChange,
    /// An administrator added a user.
    UserCreate,
    /// A user came with an import.
    UserImport,
    /// A user may not sign in any more.
    UserDisable,
    /// A user may sign in again.
    UserEnable,
    /// A user got the admin role.
    AdminGrant,
    /// A user lost the admin role.
    AdminTake,
    /// An administrator set a user's password.
    PasswordSet,
    /// An administrator ended all sessions of a user.
    SessionsEnd,
    /// A user was deleted.
    UserDelete,
    /// A user's data was exported.
    UserExport,
    /// A signing key was made.
    KeyRotate,
    /// A signing key was ended, with its tokens.
    KeyRetire,
    /// The signing keys were sealed under another master key.
    KeysReseal,
    /// A failed event is delivered again.
    EventResend,
    /// A failed event was given up.
    EventSkip,
    /// The log level was changed.
    LogLevel,
    /// Something that came too often.
    Throttle,
}

impl AuditAction {
    /// All of them.
    pub const ALL: [Self; 25] = [
        Self::Register,
        Self::Login,
        Self::RefreshReuse,
        Self::RefreshReplay,
        Self::Logout,
        Self::LogoutEverywhere,
        Self::SessionEnd,
        Self::PasswordChange,
        Self::UserCreate,
        Self::UserImport,
        Self::UserDisable,
        Self::UserEnable,
        Self::AdminGrant,
        Self::AdminTake,
        Self::PasswordSet,
        Self::SessionsEnd,
        Self::UserDelete,
        Self::UserExport,
        Self::KeyRotate,
        Self::KeyRetire,
        Self::KeysReseal,
        Self::EventResend,
        Self::EventSkip,
        Self::LogLevel,
        Self::Throttle,
    ];

    /// Whether a user does it to himself: a service that does it does it for him.
    pub const fn is_own(self) -> bool {
        matches!(
            self,
            Self::Register
                | Self::Login
                | Self::RefreshReuse
                | Self::RefreshReplay
                | Self::Logout
                | Self::LogoutEverywhere
                | Self::SessionEnd
                | Self::PasswordChange
                | Self::Throttle
        )
    }

    /// As stored, printed and asked for.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Register => "register",
            Self::Login => "login",
            Self::RefreshReuse => "refresh_reuse",
            Self::RefreshReplay => "refresh_replay",
            Self::Logout => "logout",
            Self::LogoutEverywhere => "logout_everywhere",
            Self::SessionEnd => "session_end",
            Self::PasswordChange => "password_change",
            Self::UserCreate => "user_create",
            Self::UserImport => "user_import",
            Self::UserDisable => "user_disable",
            Self::UserEnable => "user_enable",
            Self::AdminGrant => "admin_grant",
            Self::AdminTake => "admin_take",
            Self::PasswordSet => "password_set",
            Self::SessionsEnd => "sessions_end",
            Self::UserDelete => "user_delete",
            Self::UserExport => "user_export",
            Self::KeyRotate => "key_rotate",
            Self::KeyRetire => "key_retire",
            Self::KeysReseal => "keys_reseal",
            Self::EventResend => "event_resend",
            Self::EventSkip => "event_skip",
            Self::LogLevel => "log_level",
            Self::Throttle => "throttle",
        }
    }
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AuditResult {
    /// It was done.
    Success,
    /// It was not.
    Refused,
}

impl AuditResult {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Success, Self::Refused];

    /// As stored and printed.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Refused => "refused",
        }
    }
}

/// Who did it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Actor {
    /// Nobody that is known.
    Anonymous,
    /// A user, by his credentials.
    User(UserId),
    /// The operator at the command line.
    Operator,
    /// A service, by the name that the configuration gives it.
    Service(String),
    /// This service by itself.
    System,
}

/// Longest `detail` in characters; the columns have a bound, too.
pub const MAX_DETAIL: usize = 200;

/// A record to be stored with what it tells of. It never holds a secret, and a person only as his
/// id: his address is looked up when it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAudit {
    /// Microseconds.
    pub at: OffsetDateTime,
    /// What.
    pub action: AuditAction,
    /// And what came of it.
    pub result: AuditResult,
    /// Who.
    pub actor: Actor,
    /// To whom. `None`: nobody that is known.
    pub user: Option<UserId>,
    /// The session that it was done to, or that came of it.
    pub session: Option<SessionId>,
    /// From where.
    pub address: Option<IpAddr>,
    /// With what.
    pub agent: Option<Agent>,
    /// How often, up to `at`. More than once only for what strangers can repeat.
    pub times: u32,
    /// A few words of ours.
    pub detail: Option<Cow<'static, str>>,
}

impl NewAudit {
    /// Whose address and agent it tells, so that they go with him: who tried to be him may have been he, and
    /// a service tells for whom it asks.
    pub fn tells_of(&self) -> Option<UserId> {
        match self.actor {
            Actor::Anonymous => self.user,
            Actor::Service(_) => self.user.filter(|_| self.action.is_own()),
            Actor::User(id) => Some(id),
            Actor::Operator | Actor::System => None,
        }
    }
}

/// A stored record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRecord {
    /// Rises with each record; the cursor of a page.
    pub sequence: i64,
    /// Microseconds.
    pub at: OffsetDateTime,
    /// [`AuditAction`] by name; a newer program may have written one that this one does not know.
    pub action: String,
    /// What came of it.
    pub result: AuditResult,
    /// Who.
    pub actor: Actor,
    /// To whom.
    pub user: Option<UserId>,
    /// Of which session.
    pub session: Option<SessionId>,
    /// From where.
    pub address: Option<IpAddr>,
    /// With what.
    pub agent: Option<Agent>,
    /// How often, up to `at`.
    pub times: u32,
    /// A few words of ours.
    pub detail: Option<String>,
}

/// Which records to list, newest first. `None` does not restrict.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditPage {
    /// What was done to him.
    pub user: Option<UserId>,
    /// What was done by him.
    pub actor: Option<Actor>,
    /// By name.
    pub action: Option<String>,
    /// What came of it.
    pub result: Option<AuditResult>,
    /// Not before this.
    pub since: Option<OffsetDateTime>,
    /// Before this.
    pub until: Option<OffsetDateTime>,
    /// Only what was stored before this record.
    pub before: Option<i64>,
    /// At most this many.
    pub limit: u32,
}

/// Reads of the audit log.
#[async_trait]
pub trait AuditStore {
    /// A page of records, newest first, from the primary.
    async fn audit(&self, page: &AuditPage) -> Result<Vec<AuditRecord>, StoreError>;
}

/// Records commit with what they tell of.
#[async_trait]
pub trait AuditWrites: Send {
    /// Stores records.
    async fn append_audits(&mut self, records: &[NewAudit]) -> Result<(), StoreError>;

    /// Stores a record.
    async fn append_audit(&mut self, record: &NewAudit) -> Result<(), StoreError> {
        self.append_audits(std::slice::from_ref(record)).await
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_action_has_a_name_of_its_own() {
        let names: BTreeSet<_> = AuditAction::ALL.iter().map(|a| a.as_str()).collect();
        assert_eq!(names.len(), AuditAction::ALL.len());
        let snake = |name: &str| name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        assert!(names.iter().all(|name| snake(name)));
    }
}
