//! What SQLite says, in the words of the port.

use std::sync::Arc;

use rusqlite::{ErrorCode, ffi};
use sso_core::ports::{StoreError, store::Constraint};
use sso_telemetry::statements::{ErrorType, OTHER_ERROR};

use crate::OpenError;

/// Why a statement did not do it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// SQLite says so.
    #[error(transparent)]
    Sql(#[from] rusqlite::Error),
    /// A stored value is none that this service writes. The value itself is not shown.
    #[error("column {0} holds a value that cannot be read")]
    Undecodable(&'static str),
    /// A number beyond the 63 bits of a column.
    #[error("{0} is too large to be stored")]
    TooLarge(&'static str),
    /// Ids of deleted users never come back.
    #[error("a deleted user had this id")]
    DeletedId,
    /// SQLite rolled back everything that was to be committed together.
    #[error("the database rolled back a group of requests")]
    GroupLost,
    /// The database goes on elsewhere, or nobody can tell.
    #[error(transparent)]
    Moved(Box<OpenError>),
}

/// Why requests of one group were all refused.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the database did not take it: {0}")]
pub(crate) struct Refused(Arc<Fault>);

/// The transaction is over, and was not committed.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the transaction was rolled back: a statement failed, or it was idle for too long")]
pub(crate) struct RolledBack;

/// A thread of the store is gone.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the database thread has stopped")]
pub(crate) struct Stopped;

/// Too many requests wait.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("too many requests wait for the database")]
pub(crate) struct Crowded;

/// The row of the mapping that a fault belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Conflict(Constraint),
    Unavailable,
    Corrupt,
}

impl Fault {
    fn class(&self) -> Class {
        match self {
            Self::Sql(error) => class(error),
            Self::Undecodable(_) | Self::TooLarge(_) => Class::Corrupt,
            Self::DeletedId => Class::Conflict(Constraint::Id),
            Self::GroupLost | Self::Moved(_) => Class::Unavailable,
        }
    }

    /// Whether the file itself is damaged.
    fn is_damage(&self) -> bool {
        matches!(self, Self::Sql(error) if matches!(
            error.sqlite_error_code(),
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
        ))
    }
}

/// Whether the store has failed because what is stored is damaged.
pub fn is_damage(error: &StoreError) -> bool {
    let StoreError::Corrupt(cause) = error else {
        return false;
    };
    let refused = cause.downcast_ref().map(|Refused(fault)| &**fault);
    let fault: Option<&Fault> = cause.downcast_ref().or(refused);
    fault.is_some_and(|fault| fault.is_damage() || matches!(fault, Fault::Undecodable(_)))
}

/// The name of SQLite's result code.
impl ErrorType for Fault {
    fn error_type(&self) -> &str {
        let Self::Sql(error) = self else {
            return OTHER_ERROR;
        };
        match error.sqlite_error_code() {
            Some(ErrorCode::ConstraintViolation) => "SQLITE_CONSTRAINT",
            Some(ErrorCode::DatabaseBusy) => "SQLITE_BUSY",
            Some(ErrorCode::DatabaseLocked) => "SQLITE_LOCKED",
            Some(ErrorCode::DiskFull) => "SQLITE_FULL",
            Some(ErrorCode::SystemIoFailure) => "SQLITE_IOERR",
            Some(ErrorCode::ReadOnly) => "SQLITE_READONLY",
            Some(ErrorCode::CannotOpen) => "SQLITE_CANTOPEN",
            Some(ErrorCode::DatabaseCorrupt) => "SQLITE_CORRUPT",
            Some(ErrorCode::NotADatabase) => "SQLITE_NOTADB",
            _ => OTHER_ERROR,
        }
    }
}

impl From<Fault> for Refused {
    fn from(fault: Fault) -> Self {
        Self(Arc::new(fault))
    }
}

impl From<Fault> for StoreError {
    fn from(fault: Fault) -> Self {
        match fault.class() {
            Class::Conflict(constraint) => Self::Conflict(constraint),
            Class::Unavailable => Self::unavailable(fault),
            Class::Corrupt => Self::corrupt(fault),
        }
    }
}

impl From<Refused> for StoreError {
    fn from(refused: Refused) -> Self {
        if refused.0.is_damage() {
            Self::corrupt(refused)
        } else {
            Self::unavailable(refused)
        }
    }
}

fn class(error: &rusqlite::Error) -> Class {
    let rusqlite::Error::SqliteFailure(code, message) = error else {
        // A value of another type than the column's.
        return Class::Corrupt;
    };
    match code.code {
        ErrorCode::ConstraintViolation => constraint(code.extended_code, message.as_deref()),
        ErrorCode::DatabaseBusy
        | ErrorCode::DatabaseLocked
        | ErrorCode::DiskFull
        | ErrorCode::SystemIoFailure
        | ErrorCode::ReadOnly
        | ErrorCode::CannotOpen
        | ErrorCode::PermissionDenied
        | ErrorCode::OutOfMemory
        | ErrorCode::OperationInterrupted
        | ErrorCode::OperationAborted
        | ErrorCode::FileLockingProtocolFailed => Class::Unavailable,
        _ => Class::Corrupt,
    }
}

/// A CHECK or a foreign key that says no is a fault of ours, not a conflict.
fn constraint(extended: i32, message: Option<&str>) -> Class {
    let of_email = message.is_some_and(|text| text.contains("users.email_canonical"));
    match extended {
        ffi::SQLITE_CONSTRAINT_UNIQUE if of_email => Class::Conflict(Constraint::Email),
        ffi::SQLITE_CONSTRAINT_UNIQUE
        | ffi::SQLITE_CONSTRAINT_PRIMARYKEY
        | ffi::SQLITE_CONSTRAINT_ROWID => Class::Conflict(Constraint::Id),
        _ => Class::Corrupt,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sqlite(extended: i32, message: &str) -> StoreError {
        let error =
            rusqlite::Error::SqliteFailure(ffi::Error::new(extended), Some(message.to_owned()));
        Fault::from(error).into()
    }

    #[test]
    fn a_busy_full_or_failing_disk_is_unavailable() {
        for code in [
            ffi::SQLITE_BUSY,
            ffi::SQLITE_BUSY_SNAPSHOT,
            ffi::SQLITE_LOCKED,
            ffi::SQLITE_FULL,
            ffi::SQLITE_IOERR_FSYNC,
            ffi::SQLITE_READONLY,
            ffi::SQLITE_CANTOPEN,
        ] {
            assert!(
                matches!(sqlite(code, ""), StoreError::Unavailable(_)),
                "{code}"
            );
        }
    }

    #[test]
    fn what_cannot_be_read_is_corrupt() {
        for code in [
            ffi::SQLITE_CORRUPT,
            ffi::SQLITE_NOTADB,
            ffi::SQLITE_CONSTRAINT_CHECK,
        ] {
            assert!(matches!(sqlite(code, ""), StoreError::Corrupt(_)), "{code}");
        }
        let undecodable = StoreError::from(Fault::Undecodable("users.id"));
        assert!(matches!(undecodable, StoreError::Corrupt(_)));
    }

    #[test]
    fn a_unique_constraint_is_named() {
        let email = sqlite(
            ffi::SQLITE_CONSTRAINT_UNIQUE,
            "UNIQUE constraint failed: users.email_canonical",
        );
        assert!(matches!(email, StoreError::Conflict(Constraint::Email)));
        let id = sqlite(
            ffi::SQLITE_CONSTRAINT_PRIMARYKEY,
            "UNIQUE constraint failed: users.id",
        );
        assert!(matches!(id, StoreError::Conflict(Constraint::Id)));
    }
}
