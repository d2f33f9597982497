//! Handlers: one file for what belongs together.

pub(crate) mod account;
pub(crate) mod health;
pub(crate) mod jwks;
pub(crate) mod me;
pub(crate) mod metrics;
pub(crate) mod sessions;
