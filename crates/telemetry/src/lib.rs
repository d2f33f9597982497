//! Logs, metrics and traces of a service.
//!
//! [`init`] writes `tracing` events to standard error: for people on a terminal, one JSON object a
//! line otherwise. [`Metrics::install`] collects what the `metrics` facade counts and renders it
//! for Prometheus, together with figures of the process itself.
//!
//! What a client sends cannot forge or break a record: see [`mod@logs`].

mod catalogue;
mod escape;
pub mod exemplars;
mod exposition;
mod fields;
mod filter;
pub mod logs;
mod lossy;
mod metrics;
mod process;
pub mod profile;
pub mod statements;
pub mod traces;

pub use catalogue::{Undescribed, metrics_table};
pub use exposition::Exposition;
pub use filter::{Filter, InvalidFilter};
pub use logs::{Format, LogControl, LogError, Logs, init};
pub use metrics::{Metrics, MetricsError, register_metrics};
pub use traces::{Protocol, Traces, Tracing};
