//! The sink, the registry's client and the consumer, on real brokers.

mod consuming;
mod delivery;
mod oauth;
mod outage;
mod registry;
mod released;
mod support;
