//! The gRPC transport: `auth.Auth` for services, `sso.v1` for administration, and beside them on the
//! same port reflection, health, JSON for every unary rpc, and a Swagger UI.
//!
//! A request enters [`router`] and is told apart by its media type. gRPC goes to the tonic services
//! at once. JSON is transcoded by the descriptors and goes through the very same services, so that
//! the two forms cannot differ. Either way [`calls`](mod@calls) stands around the call: its
//! deadline, its panics, its metrics, and first of all its door: who calls, and may he. A handler
//! parses, calls one use case, converts.

mod audit;
mod auth;
mod call;
mod calls;
mod codec;
mod convert;
mod deadline;
mod docs;
mod door;
mod events;
mod health;
mod json;
mod keys;
mod methods;
mod metrics;
mod proto;
mod revocations;
mod router;
mod status;
mod users;
mod watchers;

pub use docs::openapi;
pub use health::Health;
pub use metrics::register as register_metrics;
pub use router::{DEFAULT_MAX_MESSAGE_SIZE, GrpcOptions, router};
pub use watchers::WatchLimits;
