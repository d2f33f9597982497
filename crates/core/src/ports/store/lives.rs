use std::time::Duration;

use async_trait::async_trait;

use super::StoreError;

/// How long access tokens have been made to live: what is revoked must be remembered for that long,
/// also after the operator has made it shorter.
#[async_trait]
pub trait LifeWrites {
    /// Remembers that access tokens of this life are about to be signed, and returns the longest
    /// life ever remembered. To be committed before the first is signed.
    async fn remember_access_life(&mut self, life: Duration) -> Result<Duration, StoreError>;

    /// The longest life ever remembered; zero if there was none.
    async fn longest_access_life(&mut self) -> Result<Duration, StoreError>;
}
