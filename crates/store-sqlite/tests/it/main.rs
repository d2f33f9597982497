//! The SQLite store obeys the contract of every store, and what it promises beyond.

#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod beside;
mod contract;
mod group;
mod opening;
mod support;
