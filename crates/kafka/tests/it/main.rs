//! The sink, the registry's client and the consumer, on real brokers.

mod delivery;
mod support;
