//! What the services that live on the events of `sso` have in common: configuration, command line,
//! the consumer, the listener with health and metrics, the drain, exit codes.
//!
//! A service is a [`Service`]; its `main` is [`run`].

pub mod cli;
pub mod database;
mod health;
pub mod kafka;
pub mod section;
mod serve;
mod service;
pub mod traces;
pub mod web;
pub mod world;

pub use cli::run;
pub use service::{Common, Configured, Need, Service};
pub use sso_config::exit::{self, Exit, Failed};
pub use sso_web::observe::Series;
