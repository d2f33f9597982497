//! Signing keys: made and sealed elsewhere, since their private parts are nothing for a use case.

use std::error::Error as StdError;

use super::store::SealedKey;
use crate::values::KeyTag;
use async_trait::async_trait;

/// Makes signing keys.
#[async_trait]
pub trait KeyMaker: Send + Sync {
    /// Makes a key of the use of `beside`, sealed under the master key that opens `beside`: under
    /// another one it is not made. Its times are those of `beside`, for the caller to set. Takes up
    /// to seconds, not of the caller's thread.
    async fn make(&self, beside: SealedKey) -> Result<SealedKey, NoKey>;

    /// The tag that a key's retirement is told by.
    fn tag(&self, kid: &str) -> KeyTag;
}

/// Seals keys under another master key.
pub trait KeySealer: Send + Sync {
    /// All of `keys`, in their order, each seen to open again.
    fn reseal(&self, keys: &[SealedKey]) -> Result<Vec<SealedKey>, NoKey>;
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum NoKey {
    /// The master key in use does not open what is stored.
    #[error(transparent)]
    OtherMasterKey(Box<dyn StdError + Send + Sync>),
    /// A stored key is damaged, or the cryptographic library refused to work.
    #[error(transparent)]
    Crypto(Box<dyn StdError + Send + Sync>),
}
