//! Configuration: what can be set, where it comes from, and whether it makes sense.
//!
//! Sources, each before the one above it: built-in defaults, the TOML file, variables
//! `SSO__SECTION__KEY`, flags. [`load`] reports every problem at once. The manual is the doc
//! comments of [`section`]; bounds stand there too, as attributes, and are enforced from there:
//! file, variable, example, JSON schema and manual cannot disagree.
//!
//! No value is ever repeated in a problem: any of them may be a secret in the wrong place.

mod catalogue;
mod database;
mod document;
mod duration;
mod events;
mod kind;
mod load;
mod network;
mod problems;
#[cfg(test)]
mod properties;
mod redis;
mod remote;
pub(crate) mod section;
mod sources;
mod telemetry;
mod validate;
mod values;

#[cfg(test)]
mod tests;

pub(crate) use database::{DatabaseUrl, ReplicaUrl};
pub(crate) use document::{example_toml, manual_md, schema, show};
pub(crate) use load::{Loaded, load};
pub(crate) use network::CorsOrigin;
pub(crate) use problems::Problems;
pub(crate) use redis::in_clear as redis_in_clear;
pub(crate) use remote::{Credential, Urls};
pub(crate) use section::Config;
pub(crate) use sources::Sources;
