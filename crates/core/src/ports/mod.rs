//! What the use cases need from outside: object-safe traits, one room each.

mod callers;
mod clock;
mod cursors;
mod hasher;
mod random;
pub mod store;
mod tasks;
mod tokens;

pub use callers::Callers;
pub use clock::Clock;
pub use cursors::Cursors;
pub use hasher::{HashError, Hasher, Match, Queue, Work};
pub use random::{Random, RandomIds};
pub use store::{Store, StoreError, Tx};
pub use tasks::Tasks;
pub use tokens::{AccessClaims, RefreshClaims, SignError, TokenRefused, TokenSubject, Tokens};
