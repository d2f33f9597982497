//! Everything cryptographic of `sso`, behind the ports of the core: the pool that hashes
//! passwords, the ring of signing keys, the tokens, and randomness.

mod accounts;
mod callers;
mod cursors;
mod hashing;
mod keyring;
mod metrics;
mod random;
mod shared;
mod tokens;

pub use accounts::account_keys;
pub use callers::{KnownCaller, KnownCallers};
pub use cursors::SealedCursors;
pub use hashing::{Argon2Params, HashPool, HashPoolError, HashPoolSettings};
pub use keyring::{
    AccessAlgorithm, KeyRing, KeyRingError, KeyWorkshop, MalformedMasterKey, MasterKey, Reloaded,
    Resealer,
};
pub use metrics::register_metrics;
pub use random::{SystemRandom, sha256};
pub use shared::SharedDigest;
pub use tokens::{CompatSecret, JwsSettings, JwsTokens, VERIFIED_TOKENS};
