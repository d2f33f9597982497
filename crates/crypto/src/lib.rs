//! Everything cryptographic of `sso`, behind the ports of the core: the pool that hashes
//! passwords, the ring of signing keys, the tokens, and randomness.

mod hashing;
mod metrics;
mod random;

pub use hashing::{Argon2Params, HashPool, HashPoolError, HashPoolSettings};
pub use metrics::register_metrics;
pub use random::{SystemRandom, sha256};
