#![doc = include_str!("../README.md")]

pub mod config;
mod cluster;
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
