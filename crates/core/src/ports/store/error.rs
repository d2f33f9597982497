use std::{error::Error as StdError, time::Duration};

use crate::failure::Failure;

/// A unique constraint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Constraint {
    /// One account for each e-mail address, by its canonical form.
    Email,
    /// Ids.
    Id,
}

/// Why the store did not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A unique constraint says no.
    #[error("conflict with the unique {0:?}")]
    Conflict(Constraint),
    /// The store is away, busy beyond the bound, or its answer was lost; nothing is known to have
    /// been done.
    #[error("the store is unavailable: {0}")]
    Unavailable(#[source] Box<dyn StdError + Send + Sync>),
    /// It certainly was not done, and never will be: the same may be done again, with the same ids,
    /// and may well succeed.
    #[error("the store did not do it: {0}")]
    Undone(#[source] Box<dyn StdError + Send + Sync>),
    /// What is stored cannot be read.
    #[error("the store is damaged: {0}")]
    Corrupt(#[source] Box<dyn StdError + Send + Sync>),
}

impl StoreError {
    /// [`StoreError::Unavailable`] with a cause.
    pub fn unavailable(cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::Unavailable(cause.into())
    }

    /// [`StoreError::Undone`] with a cause.
    pub fn undone(cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::Undone(cause.into())
    }

    /// [`StoreError::Corrupt`] with a cause.
    pub fn corrupt(cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::Corrupt(cause.into())
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(_) | StoreError::Undone(_) => Self::unavailable(
                "unavailable",
                "the database is not available, try again",
                Duration::from_secs(1),
            )
            .because(error),
            StoreError::Conflict(_) | StoreError::Corrupt(_) => Self::internal(error),
        }
    }
}
