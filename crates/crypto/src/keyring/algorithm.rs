//! The algorithms of keys, by their names in RFC 7518 and RFC 8037.

use sso_core::ports::store::{KeyUse, SealedKey};

/// What a new key for access tokens is of. Keys that exist keep theirs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AccessAlgorithm {
    /// Ed25519 (RFC 8032): short keys and signatures, quick, without a random number that could go
    /// wrong.
    #[default]
    EdDsa,
    /// ECDSA on P-256 with SHA-256 (RFC 7518, 3.4).
    Es256,
    /// RSASSA-PKCS1-v1_5 with SHA-256 and 3072 bits (RFC 7518, 3.3).
    Rs256,
}

/// Every algorithm of a stored key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Algorithm {
    Access(AccessAlgorithm),
    Hs256,
}

impl Algorithm {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Access(AccessAlgorithm::EdDsa) => "EdDSA",
            Self::Access(AccessAlgorithm::Es256) => "ES256",
            Self::Access(AccessAlgorithm::Rs256) => "RS256",
            Self::Hs256 => "HS256",
        }
    }

    /// The algorithm of a new key.
    pub(super) const fn of_use(usage: KeyUse, access: AccessAlgorithm) -> Self {
        match usage {
            KeyUse::Access => Self::Access(access),
            KeyUse::Refresh => Self::Hs256,
        }
    }

    /// The algorithm of a stored key. A key that others must verify is never symmetric.
    pub(super) fn of(key: &SealedKey) -> Option<Self> {
        match (key.usage, key.algorithm.as_str()) {
            (KeyUse::Access, "EdDSA") => Some(Self::Access(AccessAlgorithm::EdDsa)),
            (KeyUse::Access, "ES256") => Some(Self::Access(AccessAlgorithm::Es256)),
            (KeyUse::Access, "RS256") => Some(Self::Access(AccessAlgorithm::Rs256)),
            (KeyUse::Refresh, "HS256") => Some(Self::Hs256),
            _ => None,
        }
    }
}
