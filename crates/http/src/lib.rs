//! The HTTP API of `sso`: routes, their documents, health, metrics.
//!
//! A handler takes the caller and the members of the body, calls one use case, and converts what
//! comes back; a failure travels as a value to the one place ([`observe`]) that writes and logs it.
//!
//! Times are RFC 3339 in UTC with microseconds (`2026-03-01T12:00:00.000000Z`). Errors of the
//! protocol itself (a request line that is not HTTP, a head beyond the listener's limits) are
//! answered by the protocol's implementation with 400 or 431 and no body.

mod admin;
mod app;
mod caller;
mod cors;
mod error;
mod health;
mod members;
mod observe;
mod openapi;
mod reply;
mod routes;
mod state;

pub use admin::{AdminState, LogLevel, admin_router};
pub use app::router;
pub use health::{Dependency, DependencyState, Health, HealthReport, ServiceState};
pub use observe::register_metrics;
pub use openapi::openapi;
pub use state::{HttpState, Jwks, Metrics, Rendered};
