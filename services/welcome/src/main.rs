//! Consumes registrations and sends the welcome mail.

fn main() {}
