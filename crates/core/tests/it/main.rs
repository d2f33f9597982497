//! The use cases, on the store in memory and on SQLite, with real hashes and real tokens.

#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]
#![expect(
    clippy::unchecked_time_subtraction,
    reason = "an underflow is a failed test"
)]

mod administer;
mod admit;
mod change_password;
mod deposed;
mod events;
mod info;
mod jumps;
mod login;
mod logout;
mod metrics;
mod pages;
mod properties;
mod races;
mod refresh;
mod registration;
mod relay;
mod replica;
mod reuse;
mod revocations;
mod sessions;
mod support;
