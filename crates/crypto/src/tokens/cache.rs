//! Access tokens whose signature was found good.
//!
//! Checking an Ed25519 signature costs 28 µs, several times an empty RPC, and a client sends one
//! token many times. What is remembered is what does not change: signature, type, issuer, audience.
//! Time, the ring and revocation are looked at on every call.

use std::sync::Arc;

use quick_cache::sync::Cache;
use sso_core::ports::AccessClaims;

use crate::sha256;

/// A token's name here: the digest, so that no credential lies in memory longer than its request.
pub(super) type Digest = [u8; 32];

/// A token that was found good.
#[derive(Debug)]
pub(super) struct Verified {
    /// The key that signed it; `None`: the shared secret.
    pub(super) kid: Option<String>,
    pub(super) claims: AccessClaims,
}

/// A bounded cache of good tokens. Forged ones never enter: they could push out the good.
pub(super) struct VerifiedTokens(Cache<Digest, Arc<Verified>>);

impl VerifiedTokens {
    pub(super) fn new(entries: usize) -> Self {
        Self(Cache::new(entries))
    }

    /// Of the whole token: two that differ in any byte are two.
    pub(super) fn digest(token: &str) -> Digest {
        sha256(token.as_bytes())
    }

    pub(super) fn get(&self, digest: &Digest) -> Option<Arc<Verified>> {
        self.0.get(digest)
    }

    pub(super) fn insert(&self, digest: Digest, verified: Arc<Verified>) {
        self.0.insert(digest, verified);
    }

    /// Drops a token whose key has left the ring.
    pub(super) fn forget(&self, digest: &Digest) {
        self.0.remove(digest);
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}
