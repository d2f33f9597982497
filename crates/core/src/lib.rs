//! The domain of `sso`: its types, its use cases, and the ports through which they reach a store, a
//! hasher, a clock. No socket, no SQL, no HTTP and no runtime is named here.
//!
//! A transport parses its input into the types of [`values`], makes a [`Caller`], calls one
//! function of [`usecases`] with an [`Sso`], and converts what comes back. Authorisation happens in
//! the use case, so that HTTP, gRPC and the command line cannot differ.

pub mod access;
pub mod audit;
mod caller;
mod failure;
pub mod metrics;
pub mod pieces;
mod policy;
pub mod ports;
pub mod revocation;
mod scope;
mod sso;
pub mod throttle;
pub mod usecases;
pub mod values;

pub use caller::{Agent, Caller, Identity, Network, NotAllowed, Origin, Service};
pub use failure::{BadFields, Failure, FieldError, Fields, Kind};
pub use policy::{CLOCK_LEEWAY, KeyPolicy, Policy};
pub use scope::{Scope, Scopes};
pub use sso::Sso;
