//! Configuration: what can be set, where it comes from, and whether it makes sense.
//!
//! Sources, each before the one above it: built-in defaults, the TOML file, variables
//! `SSO__SECTION__KEY`, flags. [`load`] reports every problem at once. The manual is the doc
//! comments of [`sections`]; bounds stand there too, as attributes, and are enforced from there:
//! file, variable, example, JSON schema and manual cannot disagree.
//!
//! No value is ever repeated in a problem: any of them may be a secret in the wrong place.

mod catalogue;
mod document;
mod duration;
mod kind;
mod load;
mod problems;
mod sections;
mod sources;
mod validate;
mod values;

#[cfg(test)]
mod tests;

pub(crate) use document::{example_toml, manual_md, schema, show};
pub(crate) use load::{Loaded, load};
pub(crate) use problems::{Problem, Problems};
pub(crate) use sections::Config;
pub(crate) use sources::{Origin, Origins, Sources};
pub(crate) use values::MasterKey;

/// The types of single sections, for those who take one.
pub(crate) mod section {
    pub(crate) use super::sections::{
        Admin, Database, Events, Grpc, Hashing, Http, Keys, Log, LogFormat, Login, Passwords,
        Registration, Revocation, Sessions, Shutdown, Sink, Tokens,
    };
}
