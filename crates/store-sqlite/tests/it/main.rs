//! The SQLite store obeys the contract of every store, and what it promises beyond.

mod beside;
mod contract;
mod group;
mod opening;
mod support;
