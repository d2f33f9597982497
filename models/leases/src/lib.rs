#![doc = include_str!("../README.md")]

mod cluster;
pub mod config;
mod model;
pub mod properties;
mod reader;
pub mod rules;
pub mod search;
pub mod settings;
pub mod state;
mod validation;
mod waiter;
mod words;

pub use model::{Action, Leases};
