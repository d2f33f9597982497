//! The store ports in PostgreSQL's own SQL: a primary, and replicas that carry the reads.

pub mod leases;
pub mod servers;
