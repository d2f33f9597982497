//! The real binary with real Kafka, PostgreSQL, and `sso` itself.

mod commands;
// A release build has no failpoints.
#[cfg(debug_assertions)]
mod crashes;
mod credits;
mod hanging;
mod orders;
mod ready;
mod support;
mod tokens;
mod traces;
