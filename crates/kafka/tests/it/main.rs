//! The sink, the registry's client and the consumer, on real brokers.

#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod cluster;
mod consuming;
mod credentials;
mod delivery;
mod oauth;
mod outage;
mod registry;
mod released;
mod support;
