use std::time::Duration;

use sso_core::ports::StoreError;
use tokio_postgres::Error;

/// Why a beat gives no lease.
#[derive(Debug, thiserror::Error)]
pub(super) enum LeaseError {
    /// No connection.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The statement failed.
    #[error("{}", sentence(.0))]
    Postgres(#[from] Error),
    /// A COMMIT whose wait for a standby was cancelled reports success, with a warning.
    #[error("the server warned: its commit may not have reached a standby")]
    Warned,
    /// The row is gone, or says more than this process has said, or the server is of another
    /// timeline.
    #[error("this instance is not registered on timeline {timeline} any more")]
    NotRegistered {
        /// Of the server that answered.
        timeline: u32,
    },
    /// The server is not the primary any more, and its standby may never confirm.
    #[error("the server was deposed while it was asked")]
    Deposed,
    /// Its connection is closed; the server may still do what was asked.
    #[error("no answer within {0:?}")]
    Deadline(Duration),
    /// What came is no answer.
    #[error("{0} cannot be read")]
    Unreadable(&'static str),
}

impl From<LeaseError> for StoreError {
    fn from(error: LeaseError) -> Self {
        match error {
            LeaseError::Store(error) => error,
            LeaseError::Unreadable(_) => Self::corrupt(error),
            _ => Self::unavailable(error),
        }
    }
}

/// Of the server's words the message only: its details may name rows.
fn sentence(error: &Error) -> String {
    match error.as_db_error() {
        Some(said) => format!("{} ({})", said.message(), said.code().code()),
        None => error.to_string(),
    }
}
