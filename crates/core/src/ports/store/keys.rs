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
    /// Both.
    pub const ALL: [Self; 2] = [Self::Access, Self::Refresh];

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

/// A key that signs and verifies nothing any more. Its private part is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetiredKey {
    /// `kid`: never used again.
    pub id: String,
    /// What it signed.
    pub usage: KeyUse,
    /// `alg`.
    pub algorithm: String,
    /// Microseconds.
    pub created_at: OffsetDateTime,
    /// When it started to sign.
    pub signs_from: OffsetDateTime,
    /// Microseconds.
    pub retired_at: OffsetDateTime,
}

/// What became of a key that was to be retired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Retirement {
    /// It is retired now.
    Retired(RetiredKey),
    /// No other key of its use signs: nothing was changed.
    Last,
    /// There is no such key in the ring: retired before, or never made.
    Unknown,
}

/// The newest retired keys that are remembered; older ones are forgotten.
pub const RETIRED_KEYS_KEPT: u32 = 1_000;

/// The key ring.
#[async_trait]
pub trait KeyStore {
    /// Every key that is not retired, oldest first.
    async fn keys(&self) -> Result<Vec<SealedKey>, StoreError>;

    /// Retired keys, those retired last first.
    async fn retired_keys(&self, limit: u32) -> Result<Vec<RetiredKey>, StoreError>;

    /// Stores the first keys, if there is none yet; of two that try one wins. Returns what is
    /// stored afterwards.
    async fn insert_first_keys(&self, keys: &[SealedKey]) -> Result<Vec<SealedKey>, StoreError>;
}

/// Changes of the key ring. What a change was decided on is given with it, so that of two that
/// were decided on the same ring one is made.
#[async_trait]
pub trait KeyWrites {
    /// Stores further keys if the ring is still `seen`, sealed parts included, and none of the new
    /// was ever in it. `false`: nothing was changed.
    async fn insert_keys(
        &mut self,
        new: &[SealedKey],
        seen: &[SealedKey],
    ) -> Result<bool, StoreError>;

    /// Takes a key out of the ring and destroys its private part, if another one of its use signs
    /// at `now`.
    async fn retire_key(&mut self, id: &str, now: OffsetDateTime)
    -> Result<Retirement, StoreError>;

    /// Replaces the sealed part of every key by that of `resealed`, if the ring is still `seen`;
    /// both have the same keys in the same order. `false`: nothing was changed.
    async fn reseal_keys(
        &mut self,
        resealed: &[SealedKey],
        seen: &[SealedKey],
    ) -> Result<bool, StoreError>;
}
