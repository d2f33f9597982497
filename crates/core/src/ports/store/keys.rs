use async_trait::async_trait;
use time::OffsetDateTime;

use super::StoreError;

/// What a key signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyUse {
    /// Access tokens; its public part is in the JWKS.
    Access,
    /// Refresh tokens; nobody else can or need verify them.
    Refresh,
}

impl KeyUse {
    /// As stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Access => "access",
            Self::Refresh => "refresh",
        }
    }
}

/// A signing key as it is stored: its private part sealed under the master key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedKey {
    /// `kid`.
    pub id: String,
    /// What it signs.
    pub usage: KeyUse,
    /// `alg` (RFC 7518): pinned for this key.
    pub algorithm: String,
    /// Nonce and ciphertext of the private part.
    pub sealed: Vec<u8>,
    /// Microseconds.
    pub created_at: OffsetDateTime,
    /// When it starts to sign: after the JWKS max-age, so that every verifier has it by then.
    pub signs_from: OffsetDateTime,
}

/// The key ring.
#[async_trait]
pub trait KeyStore {
    /// Every key, oldest first.
    async fn keys(&self) -> Result<Vec<SealedKey>, StoreError>;

    /// Stores the first keys, if there is none yet; of two that try one wins. Returns what is
    /// stored afterwards.
    async fn insert_first_keys(&self, keys: &[SealedKey]) -> Result<Vec<SealedKey>, StoreError>;
}
