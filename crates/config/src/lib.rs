//! Configuration of our programs, and how they end: defaults, a TOML file, variables and flags in,
//! values or all of their problems out.
//!
//! A program has a struct of sections ([`Sections`]). The doc comments of its fields are the manual,
//! its `Default` the built-in defaults, its schema's attributes the bounds; they are enforced from
//! there, so that file, variable, example, JSON schema and manual cannot disagree.
//!
//! No value is ever repeated in a problem: any of them may be a secret in the wrong place.

mod catalogue;
pub mod cli;
mod document;
pub mod duration;
pub mod exit;
pub mod kafka;
mod kind;
mod load;
pub mod log;
pub mod output;
mod problems;
pub mod remote;
mod sources;
pub mod telemetry;
pub mod values;

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Serialize, de::DeserializeOwned};

pub use catalogue::{Catalogue, Key, Section};
pub use document::{example_toml, manual_md, schema, show};
pub use kind::{Choice, Kind, Raw};
pub use load::{Derived, Loaded, Rules, load};
pub use problems::Problems;
pub use sources::{Origin, Origins, Sources, unknown_among};

/// All that can be configured of a program: sections, and keys without one.
pub trait Sections: Default + Serialize + DeserializeOwned + JsonSchema {
    /// What its command is called.
    const PROGRAM: &'static str;
    /// What the names of its variables start with, such as `SSO__`.
    const PREFIX: &'static str;
    /// The variable that names its file.
    const FILE_VARIABLE: &'static str;
    /// What development mode sets, unless told otherwise; empty where there is no such mode.
    const DEVELOPMENT: &'static [(&'static str, &'static str)] = &[];

    /// Fills in what is not set from what it depends on.
    fn derive(&mut self, derived: &mut Derived<'_>);

    /// Says which rules are broken that concern more than one value.
    fn validate(&self, rules: &mut Rules<'_>);
}

/// Whether only this machine can reach `address`, IPv4 in IPv6 included.
pub fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}
