//! Hashing of passwords.

use std::time::Duration;

use async_trait::async_trait;

use crate::{
    caller::Network,
    failure::Failure,
    values::{NewPassword, Password, PasswordHash},
};

/// Which of the two queues a hash waits in: a flood of registrations must not stop logins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Queue {
    /// Logins and changes of a password.
    Login,
    /// Registrations.
    Registration,
}

/// For whom a hash is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Work {
    /// Its queue.
    pub queue: Queue,
    /// The network whose share of the pool it uses.
    pub network: Network,
}

/// What a verification found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Match {
    /// Another password.
    No,
    /// The right password, hashed as new hashes are.
    Yes,
    /// The right password, hashed with another algorithm or other parameters than new ones.
    YesOutdated,
}

/// A verification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified {
    /// What it found.
    pub found: Match,
    /// How long it waited for its turn: longer under load, and no matter for which account.
    pub waited: Duration,
}

/// Hashes and verifies passwords on a bounded pool.
#[async_trait]
pub trait Hasher: Send + Sync {
    /// Hashes a new password with the current algorithm and parameters.
    async fn hash(&self, work: Work, password: NewPassword) -> Result<PasswordHash, HashError>;

    /// Hashes a password that was just verified again, because its hash is outdated.
    async fn rehash(&self, work: Work, password: Password) -> Result<PasswordHash, HashError>;

    /// Verifies `password`. With no hash (no such user) it costs as much as with one, and the
    /// answer is [`Match::No`].
    async fn verify(
        &self,
        work: Work,
        password: Password,
        hash: Option<PasswordHash>,
    ) -> Result<Verified, HashError>;

    /// Whether a hash of another system can be verified here, within the bounds on its parameters.
    /// Costs no hash. A hasher that does not say takes none.
    fn admits(&self, _hash: &PasswordHash) -> Result<(), HashError> {
        Err(HashError::Unreadable(
            "hashes of other systems are not taken",
        ))
    }

    /// About how long one core takes to verify a password against this hash, or with none where there is no
    /// such user; zero if nobody knows.
    fn takes(&self, _hash: Option<&PasswordHash>) -> Duration {
        Duration::ZERO
    }
}

/// Why there is no hash.
#[derive(Debug, thiserror::Error)]
pub enum HashError {
    /// The queue is full, or the deadline in it passed.
    #[error("the {queue:?} queue of the hashing pool is full")]
    Overloaded {
        /// Which queue.
        queue: Queue,
        /// When there will probably be room.
        retry_after: Duration,
    },
    /// The pool is shutting down.
    #[error("the hashing pool has stopped")]
    Stopped,
    /// The stored hash cannot be read or goes beyond the bounds on its parameters. Does not say
    /// anything about the password.
    #[error("stored password hash: {0}")]
    Unreadable(&'static str),
}

impl From<HashError> for Failure {
    fn from(error: HashError) -> Self {
        match error {
            HashError::Overloaded { retry_after, .. } => Self::unavailable(
                "overloaded",
                "too many requests at once, try again",
                retry_after,
            ),
            HashError::Stopped => {
                Self::unavailable("unavailable", "shutting down", Duration::from_secs(1))
            }
            HashError::Unreadable(_) => Self::internal(error),
        }
    }
}
