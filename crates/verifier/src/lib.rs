#![doc = include_str!("../README.md")]

mod ask;
mod builder;
mod circuit;
mod claims;
mod clock;
mod jwks;
mod keys;
mod metrics;
mod net;
mod proto;
mod random;
mod refused;
mod set;
mod settings;
mod token;
mod tower;
mod trust;
mod verifier;
mod watch;

pub use builder::{BuildError, Builder, TraceContext};
pub use claims::Claims;
pub use metrics::register_metrics;
pub use refused::Refused;
pub use settings::WhenSilent;
pub use tower::{GrpcGuard, GrpcLayer, HttpGuard, HttpLayer};
pub use verifier::{Status, Verifier};
