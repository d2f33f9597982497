//! The client, the stream and the counts, on real servers.

#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod client;
mod registrations;
mod sentences;
mod stream;
mod support;
mod throttle;
mod valkey;
