//! What tests are made of: a store in memory, a clock moved by hand, randomness from a seed, and the
//! contract that every store is held to. A dev-dependency only.

pub mod app;
#[cfg(feature = "browser")]
pub mod browser;
pub mod clock;
pub mod contract;
pub mod history;
pub mod http;
pub mod memory;
pub mod metrics;
pub mod patience;
pub mod persona;
pub mod pki;
pub mod process;
pub mod program;
pub mod random;
pub mod readiness;
pub mod servers;
pub mod tasks;
pub mod workload;
