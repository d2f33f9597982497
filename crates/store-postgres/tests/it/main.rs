//! The adapter on real PostgreSQL servers: it obeys the contract of every store, and what it
//! promises beyond.

#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod beside;
mod contract;
mod faults;
mod leases;
mod lost_answers;
mod opening;
mod replicas;
mod servers;
mod shards;
mod support;
mod together;
mod transactions;
