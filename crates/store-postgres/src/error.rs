//! What PostgreSQL says, in the words of the port.

use std::{fmt, sync::Arc, time::Duration};

use sso_core::ports::{StoreError, store::Constraint};
use sso_telemetry::statements::{ErrorType, OTHER_ERROR};
use tokio_postgres::error::{Error, SqlState};

use crate::servers::{Connection, severs};

/// Why a statement did not do it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// PostgreSQL says so, or cannot be heard.
    #[error(transparent)]
    Said(#[from] Said),
    /// A stored value is none that this service writes. The value itself is not shown.
    #[error("column {0} holds a value that cannot be read")]
    Undecodable(&'static str),
    /// A number beyond the 63 bits of a column.
    #[error("{0} is too large to be stored")]
    TooLarge(&'static str),
    /// Ids of deleted users never come back.
    #[error("a deleted user had this id")]
    DeletedId,
    /// The server took the statement, and is silent.
    #[error("the server did not answer within {0:?}")]
    Silent(Duration),
    /// Before COMMIT was sent: so it is not done, and never will be.
    #[error("the transaction was not committed: {0}")]
    NotCommitted(#[source] Said),
    /// Its COMMIT did not arrive, or was lost by a failover.
    #[error("the transaction was not committed, its COMMIT was lost")]
    CommitLost,
    /// The transaction is over, and was not committed.
    #[error("the transaction was rolled back: a statement failed before")]
    RolledBack,
    /// It may be committed, or not.
    #[error("nobody can say whether the transaction was committed: {0}")]
    Unconfirmed(&'static str),
}

/// An error of the driver without what PostgreSQL adds as DETAIL: that shows values of the row.
#[derive(Debug)]
pub(crate) struct Said {
    code: Option<SqlState>,
    constraint: Option<String>,
    severed: bool,
    text: String,
}

impl From<Error> for Said {
    fn from(error: Error) -> Self {
        use std::error::Error as _;
        let text = match (error.as_db_error(), error.source()) {
            (Some(said), _) => format!("{} ({})", said.message(), said.code().code()),
            (None, Some(source)) => format!("{error}: {source}"),
            (None, None) => error.to_string(),
        };
        Self {
            code: error.code().cloned(),
            constraint: error
                .as_db_error()
                .and_then(|said| said.constraint().map(str::to_owned)),
            severed: severs(&error),
            text,
        }
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Said {}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Said(error.into())
    }
}

/// What a fault means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Conflict(Constraint),
    Undone,
    Unavailable,
    Corrupt,
}

impl Fault {
    /// An error of this connection, which is closed where it is of no use any more.
    pub(crate) fn of(connection: &Connection, error: Error) -> Self {
        if error.code().is_some_and(is_forgotten) {
            connection.evict();
        }
        connection.failed(&error);
        error.into()
    }

    /// Whether it is certain that nothing was done, and the same may well succeed at once: a
    /// deadlock, a conflict with another transaction, a server that is no primary any more.
    pub(crate) fn did_nothing(&self) -> bool {
        self.code().is_some_and(is_passing)
    }

    /// What it means for a transaction whose COMMIT was not sent: it is over without it, if what
    /// came between was no fault of its own.
    pub(crate) fn before_commit(self) -> Self {
        match self {
            Self::Said(said) if said.severed || said.code.as_ref().is_some_and(is_passing) => {
                Self::NotCommitted(said)
            }
            other => other,
        }
    }

    /// Whether the connection went with the answer, rather than being silent.
    pub(crate) fn was_cut_off(&self) -> bool {
        matches!(self, Self::Said(said) if said.severed)
    }

    /// Whether the connection is gone, and with it the answer.
    pub(crate) fn is_severed(&self) -> bool {
        match self {
            Self::Said(said) | Self::NotCommitted(said) => said.severed,
            Self::Silent(_) => true,
            _ => false,
        }
    }

    fn code(&self) -> Option<&SqlState> {
        match self {
            Self::Said(said) => said.code.as_ref(),
            _ => None,
        }
    }

    /// Of a statement that was for several: each is told of it.
    pub(crate) fn of_all(fault: &Arc<Self>) -> StoreError {
        fault.class().with(Arc::clone(fault))
    }

    fn class(&self) -> Class {
        match self {
            Self::Said(said) => match &said.code {
                Some(code) => class(code, said.constraint.as_deref()),
                None if said.severed => Class::Unavailable,
                // What was sent does not fit the statement: ours.
                None => Class::Corrupt,
            },
            Self::Undecodable(_) | Self::TooLarge(_) => Class::Corrupt,
            Self::DeletedId => Class::Conflict(Constraint::Id),
            Self::NotCommitted(_) | Self::CommitLost => Class::Undone,
            Self::Silent(_) | Self::RolledBack | Self::Unconfirmed(_) => Class::Unavailable,
        }
    }
}

/// The SQLSTATE.
impl ErrorType for Fault {
    fn error_type(&self) -> &str {
        match self {
            Self::Silent(_) => "timeout",
            Self::Said(said) if said.severed && said.code.is_none() => "severed",
            _ => self.code().map_or(OTHER_ERROR, SqlState::code),
        }
    }
}

impl From<Fault> for StoreError {
    fn from(fault: Fault) -> Self {
        fault.class().with(fault)
    }
}

impl Class {
    fn with(self, fault: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StoreError {
        match self {
            Self::Conflict(constraint) => StoreError::Conflict(constraint),
            Self::Undone => StoreError::undone(fault),
            Self::Unavailable => StoreError::unavailable(fault),
            Self::Corrupt => StoreError::corrupt(fault),
        }
    }
}

/// Whether the store has failed because what is stored is damaged: what PostgreSQL says of its files
/// (XX001, XX002), and what cannot be decoded.
pub fn is_damage(error: &StoreError) -> bool {
    let StoreError::Corrupt(cause) = error else {
        return false;
    };
    let shared = cause.downcast_ref().map(|fault: &Arc<Fault>| &**fault);
    let fault: Option<&Fault> = cause.downcast_ref().or(shared);
    fault.is_some_and(|fault| match fault.code() {
        Some(code) => [SqlState::DATA_CORRUPTED, SqlState::INDEX_CORRUPTED].contains(code),
        None => matches!(fault, Fault::Undecodable(_)),
    })
}

/// Serialization failure, deadlock.
fn is_contention(code: &SqlState) -> bool {
    *code == SqlState::T_R_SERIALIZATION_FAILURE || *code == SqlState::T_R_DEADLOCK_DETECTED
}

/// The same may well succeed at once, perhaps on another server.
fn is_passing(code: &SqlState) -> bool {
    is_contention(code) || *code == SqlState::READ_ONLY_SQL_TRANSACTION
}

/// The server does not know the prepared statement any more, or its columns have changed.
fn is_forgotten(code: &SqlState) -> bool {
    *code == SqlState::INVALID_SQL_STATEMENT_NAME || *code == SqlState::FEATURE_NOT_SUPPORTED
}

fn class(code: &SqlState, constraint: Option<&str>) -> Class {
    if *code == SqlState::UNIQUE_VIOLATION {
        return Class::Conflict(match constraint {
            Some("users_email") => Constraint::Email,
            _ => Constraint::Id,
        });
    }
    let unavailable = is_contention(code)
        || is_forgotten(code)
        || *code == SqlState::READ_ONLY_SQL_TRANSACTION
        || *code == SqlState::IN_FAILED_SQL_TRANSACTION
        // What it refers to went while it was on its way.
        || *code == SqlState::FOREIGN_KEY_VIOLATION
        || *code == SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT
        || *code == SqlState::LOCK_NOT_AVAILABLE
        || *code == SqlState::INVALID_CATALOG_NAME
        // Connection, authorization, resources (memory, disk, connections), the operator, the
        // system.
        || ["08", "28", "53", "57", "58"].contains(&&code.code()[..2]);
    if unavailable {
        Class::Unavailable
    } else {
        Class::Corrupt
    }
}

/// Why this program cannot serve the database: one sentence with the remedy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SchemaError {
    /// There are tables, and they are another program's.
    #[error("the database holds the tables of another program: choose another database or schema")]
    Foreign,
    /// Not everything that people are called can be stored, nor its length be told.
    #[error(
        "the database's encoding is {0} and must be UTF8: create one with `encoding 'UTF8' template \
         template0`"
    )]
    Encoding(String),
    /// The schema is newer than this program can serve.
    #[error(
        "the database has schema {found} and needs a program that knows schema {needed} or later, \
         this one knows {known}: use the newer version of this program"
    )]
    Newer {
        /// Its schema.
        found: u32,
        /// The lowest schema that a program must know to serve it.
        needed: u32,
        /// The latest schema that this program knows.
        known: u32,
    },
    /// The schema is older than this program's, and it was told not to migrate.
    #[error(
        "the database has schema {found} and this program needs {needed}: run `sso migrate up`, or \
         set database.migrate to true"
    )]
    Behind {
        /// Its schema.
        found: u32,
        /// The latest schema that this program knows.
        needed: u32,
    },
    /// Everything is being copied to it from another database.
    #[error(
        "`sso db copy` has not finished filling the database: wait for it, or run it again, it goes \
         on where it was cut off"
    )]
    HalfCopied,
    /// Another process is migrating it.
    #[error("another process has been migrating the database for {0:?}: wait for it, or end it")]
    Locked(Duration),
    /// A migration waited too long for those who use the tables.
    #[error(
        "the migration waited too long for a table that is in use ({0}): nothing was changed, try \
         again when there is less to do"
    )]
    Busy(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Only the primary can be migrated.
    #[error("this server is a replica and cannot be migrated: give the address of the primary")]
    Replica,
    /// A migration failed. It left nothing behind.
    #[error("the database cannot be migrated ({0}): nothing was changed")]
    Migration(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// An index could not be built. The others are there, and this one is tried again next time.
    #[error("the index {name} cannot be built ({source}): everything else was done, try again")]
    Index {
        /// Its name.
        name: &'static str,
        /// What failed.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The history of migrations cannot be read.
    #[error("the history of the database's migrations is damaged: restore a backup")]
    Damaged,
    /// It does not answer, or not this program.
    #[error("the database is not available: {0}")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<Error> for SchemaError {
    fn from(error: Error) -> Self {
        Self::Unavailable(Said::from(error).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(code: &str, constraint: Option<&str>) -> StoreError {
        let said = Said {
            code: Some(SqlState::from_code(code)),
            constraint: constraint.map(str::to_owned),
            severed: false,
            text: code.to_owned(),
        };
        Fault::from(said).into()
    }

    #[test]
    fn a_server_that_is_away_full_or_contended_is_unavailable() {
        let codes = [
            "08006", "08P01", "25006", "25P02", "25P03", "28P01", "40001", "40P01", "53100",
            "53200", "53300", "55P03", "57014", "57P01", "57P02", "57P03", "57P05", "58030",
            "23503", "26000", "0A000", "3D000",
        ];
        for code in codes {
            let error = store(code, None);
            assert!(matches!(error, StoreError::Unavailable(_)), "{code}");
        }
    }

    #[test]
    fn a_damaged_or_foreign_schema_and_a_refused_value_are_ours_to_mend() {
        for code in [
            "XX001", "XX002", "42P01", "42703", "42501", "23514", "23502", "22001",
        ] {
            let error = store(code, None);
            assert!(matches!(error, StoreError::Corrupt(_)), "{code}");
        }
        let undecodable = StoreError::from(Fault::Undecodable("users.id"));
        assert!(matches!(undecodable, StoreError::Corrupt(_)));
    }

    #[test]
    fn a_unique_constraint_is_named() {
        let email = store("23505", Some("users_email"));
        assert!(matches!(email, StoreError::Conflict(Constraint::Email)));
        let id = store("23505", Some("users_pkey"));
        assert!(matches!(id, StoreError::Conflict(Constraint::Id)));
    }

    #[test]
    fn only_what_certainly_did_nothing_is_done_again() {
        let fault = |code: &str, severed| {
            Fault::from(Said {
                code: Some(SqlState::from_code(code)),
                constraint: None,
                severed,
                text: String::new(),
            })
        };
        for code in ["40001", "40P01", "25006"] {
            assert!(fault(code, false).did_nothing(), "{code}");
        }
        for code in ["57P01", "08006", "53100", "23505"] {
            assert!(!fault(code, true).did_nothing(), "{code}");
        }
        assert!(fault("57P01", true).is_severed());
        assert!(Fault::Silent(Duration::from_secs(1)).is_severed());
    }
}
