//! Everything cryptographic of `sso`, behind the ports of the core: the pool that hashes
//! passwords, the ring of signing keys, the tokens, and randomness.

mod accounts;
mod hashing;
mod keyring;
mod metrics;
mod random;
mod tokens;

pub use accounts::account_keys;
pub use hashing::{Argon2Params, HashPool, HashPoolError, HashPoolSettings};
pub use keyring::{KeyRing, KeyRingError, MalformedMasterKey, MasterKey};
pub use metrics::register_metrics;
pub use random::{SystemRandom, sha256};
pub use tokens::{JwsSettings, JwsTokens, VERIFIED_TOKENS};
