//! What the use cases need from outside: object-safe traits, one room each.

mod announcements;
mod callers;
mod clock;
mod cursors;
pub mod dump;
mod hasher;
mod keys;
mod random;
mod shards;
pub mod store;
mod tasks;
mod throttle;
mod tokens;

pub use announcements::Announcements;
pub use callers::Callers;
pub use clock::Clock;
pub use cursors::Cursors;
pub use hasher::{HashError, Hasher, Match, Queue, Verified, Work};
pub use keys::{KeyMaker, KeySealer, NoKey};
pub use random::{Random, RandomIds};
pub use shards::{AllShards, Shards};
pub use store::{Store, StoreError, Tx};
pub use tasks::Tasks;
pub use throttle::{Attempt, Permit, Settled, Throttle, ThrottleReason, Throttled, Unthrottled};
pub use tokens::{
    AccessClaims, AccessKind, RefreshClaims, SignError, TokenOwner, TokenRefused, TokenSubject,
    Tokens,
};
