//! The real binary with real Kafka, PostgreSQL, and `sso` itself.

mod commands;
mod crashes;
mod credits;
mod orders;
mod support;
mod tokens;
