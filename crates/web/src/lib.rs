//! The plumbing under every HTTP server of ours: accept loop, request ids, bodies read to a bound,
//! deadlines, trace context, what is counted of requests. It knows nothing of what the servers are
//! for; what an error looks like is theirs to say, by a function that they pass in.
//!
//! Layers are functions from a [`Router`](axum::Router) to a `Router`; the last one applied sees
//! the request first. An order that works, from the inside out: [`panics`], [`deadline`], [`host`],
//! [`shield`], [`request_id`].

pub mod bearer;
pub mod body;
pub mod compress;
pub mod deadline;
pub mod host;
pub mod listener;
pub mod observe;
pub mod packed;
pub mod panics;
pub mod probe;
pub mod proxies;
pub mod rate;
pub mod request_id;
mod rfc3339;
pub mod shield;
pub mod signals;
pub mod span;
pub mod swagger;
pub mod tls;
pub mod trace_context;
pub mod vital;

use axum::response::Response;

pub use bearer::bearer;
pub use listener::{Client, ConnectionId};
pub use request_id::RequestId;
pub use rfc3339::rfc3339;
pub use sso_telemetry::{exemplars, profile};
pub use tls::ClientCertificate;

/// Makes the answer of a request that went wrong under the handlers. The id is what the answer's
/// body shows; the header is set by [`request_id`].
pub type Answer = fn(&RequestId) -> Response;
