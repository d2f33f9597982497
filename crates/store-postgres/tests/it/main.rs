//! The adapter on real PostgreSQL servers.

mod servers;
