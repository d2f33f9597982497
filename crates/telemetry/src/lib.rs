//! Logs and metrics of a service.
//!
//! [`init`] writes `tracing` events to standard error: for people on a terminal, one JSON object a
//! line otherwise. [`Metrics::install`] collects what the `metrics` facade counts and renders it
//! for Prometheus, together with figures of the process itself.
//!
//! What a client sends cannot forge or break a record: see [`mod@logs`].

mod escape;
mod filter;
pub mod logs;
mod metrics;
mod process;

pub use filter::{Filter, InvalidFilter};
pub use logs::{Format, LogControl, LogError, Logs, init};
pub use metrics::{Metrics, MetricsError};
