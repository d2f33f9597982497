//! Configuration: what can be set, where it comes from, and whether it makes sense.
//!
//! Sources, each overriding those before it: built-in defaults, the TOML file, variables
//! `SSO__SECTION__KEY`, flags. [`load`] reports every problem at once. The manual is the doc
//! comments of [`section`]; bounds stand there too, as attributes, and are enforced from there:
//! file, variable, example, JSON schema and manual cannot disagree.
//!
//! No value is ever repeated in a problem: any of them may be a secret in the wrong place.

mod database;
mod derive;
mod network;
#[cfg(test)]
mod properties;
mod redis;
pub(crate) mod section;
mod validate;
mod values;

#[cfg(test)]
mod tests;

pub(crate) use database::{DatabaseUrl, ReplicaUrl};
pub(crate) use network::CorsOrigin;
pub(crate) use redis::in_clear as redis_in_clear;
pub(crate) use section::Config;
pub(crate) use sso_config::{
    Problems, Sources, duration, remote,
    remote::{Credential, Urls},
};

/// A configuration that holds together.
pub(crate) type Loaded = sso_config::Loaded<Config>;

/// Loads the configuration. Opens the configuration file and those with secrets, and touches
/// nothing else.
pub(crate) fn load(sources: Sources) -> Result<Loaded, Problems> {
    sso_config::load(sources)
}

/// The JSON schema of the configuration file (draft 2020-12).
pub(crate) fn schema() -> serde_json::Value {
    sso_config::schema::<Config>()
}

/// A configuration file with every key and its manual, commented out at its default.
pub(crate) fn example_toml() -> String {
    sso_config::example_toml::<Config>()
}

/// The manual in Markdown: `docs/config.md`.
pub(crate) fn manual_md() -> String {
    sso_config::manual_md::<Config>()
}

/// The values in force as TOML, each with where it comes from. Secrets are shown as `<set>`.
pub(crate) fn show(loaded: &Loaded) -> String {
    sso_config::show(loaded)
}
