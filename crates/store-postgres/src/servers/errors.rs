//! What went wrong, and what that means.

use tokio_postgres::{Error, error::SqlState};

use super::identity::IdentityError;

/// Whether a connection is of no use any more after this error: the server is no primary now
/// (25006), is shutting down, crashed or starting (57P01 to 57P03), or cannot be heard (08xxx,
/// closed, broken).
pub fn severs(error: &Error) -> bool {
    let Some(code) = error.code() else {
        // Not the server's word: the connection itself. What we sent wrongly is ours.
        return error.is_closed() || is_io(error);
    };
    *code == SqlState::READ_ONLY_SQL_TRANSACTION
        || *code == SqlState::ADMIN_SHUTDOWN
        || *code == SqlState::CRASH_SHUTDOWN
        || *code == SqlState::CANNOT_CONNECT_NOW
        || code.code().starts_with("08")
}

fn is_io(error: &Error) -> bool {
    use std::error::Error as _;
    error
        .source()
        .is_some_and(|source| source.is::<std::io::Error>())
}

/// No connection.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The settings cannot be used.
    #[error("{0}")]
    Settings(String),
    /// Nobody answers, or not in time.
    #[error("{0}")]
    Unreachable(String),
}

impl OpenError {
    pub(super) fn of(error: ConnectError) -> Self {
        Self::Unreachable(error.to_string())
    }
}

/// Why a connection does not stand.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// PostgreSQL or the network says no.
    #[error("{}", sentence(.0))]
    Postgres(#[from] Error),
    /// It does not say who it is.
    #[error("{0}")]
    Identity(#[from] IdentityError),
    /// Longer than allowed.
    #[error("no connection in time")]
    Timeout,
    /// As many wait already as may.
    #[error("too many wait for a connection")]
    Crowded,
}

/// An error with what caused it.
fn sentence(error: &Error) -> String {
    use std::error::Error as _;
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
