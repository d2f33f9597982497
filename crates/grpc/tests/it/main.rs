//! The whole port on a real listener, with the use cases on the store in memory.

mod administration;
mod bad_input;
mod door;
mod harness;
mod json;
mod meta;
mod protocol;
mod rpcs;
mod uncovered;
mod watch;
