//! The primary is away for longer than a lease.
