//! What went wrong, and what that means.

use std::{error::Error as _, io};

use tokio_postgres::{Error, error::SqlState};

use super::{identity::IdentityError, tls};

/// Whether a connection is of no use any more after this error: the server is no primary now
/// (25006), is shutting down, crashed or starting (57P01 to 57P03), or cannot be heard (08xxx,
/// closed, broken).
pub fn severs(error: &Error) -> bool {
    let Some(code) = error.code() else {
        // Not the server's word: the connection itself. What we sent wrongly is ours.
        return error.is_closed() || broken(error).is_some();
    };
    *code == SqlState::READ_ONLY_SQL_TRANSACTION
        || *code == SqlState::ADMIN_SHUTDOWN
        || *code == SqlState::CRASH_SHUTDOWN
        || *code == SqlState::CANNOT_CONNECT_NOW
        || code.code().starts_with("08")
}

fn broken(error: &Error) -> Option<&io::Error> {
    error.source()?.downcast_ref()
}

/// Why the servers cannot be used from the start. Each is one sentence that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The configuration is wrong: trying again does not help.
    #[error("{0}")]
    Settings(String),
    /// Nobody answers, or not in time.
    #[error("{0}")]
    Unreachable(String),
}

/// Why a connection does not stand.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// PostgreSQL or the network says no.
    #[error("{}", sentence(.0))]
    Postgres(#[from] Error),
    /// It does not say who it is.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// Longer than allowed.
    #[error("no connection in time")]
    Timeout,
    /// As many wait already as may.
    #[error("too many wait for a connection to the database")]
    Crowded,
    /// The server has just refused a connection for want of room.
    #[error("the server has no room for more connections")]
    Full,
    /// Whoever answers is not the primary.
    #[error("no primary is known")]
    NoPrimary,
}

impl ConnectError {
    /// Whether the server has as many connections as it, or the role, may have (53300).
    pub(super) fn is_for_want_of_room(&self) -> bool {
        match self {
            Self::Full => true,
            Self::Postgres(error) | Self::Identity(IdentityError::Postgres(error)) => {
                error.code() == Some(&SqlState::TOO_MANY_CONNECTIONS)
            }
            _ => false,
        }
    }

    /// What the operator must correct; `None`: it may pass by itself.
    pub(super) fn misconfigured(&self) -> Option<String> {
        let (Self::Postgres(error) | Self::Identity(IdentityError::Postgres(error))) = self else {
            return None;
        };
        if let Some(objection) = broken(error).and_then(tls::objection) {
            return Some(objection);
        }
        let Some(code) = error.code() else {
            // TLS that the server does not speak, authentication that we do not.
            let ours = broken(error).is_none() && !error.is_closed();
            return ours.then(|| sentence(error));
        };
        // 28: it does not let us in; 3D: there is no such database; 42: it does not tell us.
        let class = &code.code()[..2];
        matches!(class, "28" | "3D" | "42").then(|| sentence(error))
    }
}

/// An error with what caused it; of the server's words the message only.
pub(super) fn sentence(error: &Error) -> String {
    if let Some(said) = error.as_db_error() {
        return format!("{} ({})", said.message(), said.code().code());
    }
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
