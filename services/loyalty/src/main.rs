//! Consumes registrations, credits the welcome points, keeps the ledger.

fn main() {}
