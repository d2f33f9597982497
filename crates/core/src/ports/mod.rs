//! What the use cases need from outside: object-safe traits, one room each.

mod clock;
mod hasher;
mod random;
pub mod store;
mod tasks;
mod throttle;
mod tokens;

pub use clock::Clock;
pub use hasher::{HashError, Hasher, Match, Queue, Verified, Work};
pub use random::{Random, RandomIds};
pub use store::{Store, StoreError, Tx};
pub use tasks::Tasks;
pub use throttle::{Attempt, Permit, Settled, Throttle, ThrottleReason, Throttled, Unthrottled};
pub use tokens::{AccessClaims, RefreshClaims, SignError, TokenRefused, TokenSubject, Tokens};
