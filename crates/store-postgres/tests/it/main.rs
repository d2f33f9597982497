//! The adapter on real PostgreSQL servers.

mod leases;
mod servers;
