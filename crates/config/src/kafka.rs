//! The section `kafka` of whoever writes to Kafka or reads from it.

mod rules;

use std::{path::PathBuf, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    duration,
    remote::{Broker, Credential, OneUrl, TopicName, Urls},
    values::{Text, text},
};

/// Kafka and its schema registry. Both may be away, at the start too: events wait, and follow when both
/// are back.
///
/// `Own` are the keys that only a producer has, or only a consumer. What is wrong with them must be
/// found by their kinds or by rules: errors of their types have no key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(
    bound = "Own: Default + Serialize + JsonSchema",
    description = "Kafka and its schema registry. Both may be away, at the start too: events wait, \
                   and follow when both are back.",
    extend("additionalProperties" = false)
)]
pub struct Kafka<Own> {
    /// Some of the brokers; the others are learnt from them.
    #[schemars(with = "Vec<Text<Broker>>", length(min = 0, max = 32))]
    pub brokers: Vec<Broker>,
    /// The topic of registrations. It must exist: nothing here creates one.
    #[serde(with = "text")]
    #[schemars(with = "Text<TopicName>")]
    pub topic: TopicName,
    /// The keys of this side.
    #[serde(flatten)]
    pub own: Own,
    /// Whether brokers speak TLS.
    pub tls: bool,
    /// Roots (PEM) that the brokers' certificates must lead to. Without: those that this machine
    /// trusts.
    #[schemars(extend("x-shape" = "a path"))]
    pub tls_ca: Option<PathBuf>,
    /// Our own certificate (PEM), for brokers that ask for one.
    #[schemars(extend("x-shape" = "a path"))]
    pub tls_cert: Option<PathBuf>,
    /// Its private key (PEM).
    #[schemars(extend("x-shape" = "a path"))]
    pub tls_key: Option<PathBuf>,
    /// How we tell brokers who we are.
    pub sasl_mechanism: Mechanism,
    /// Our name, for `plain` and `scram-*`.
    #[schemars(extend("x-shape" = "a name"))]
    pub sasl_username: Option<String>,
    /// Our password, for `plain` and `scram-*`.
    #[schemars(with = "Option<Text<Credential>>", extend("writeOnly" = true))]
    pub sasl_password: Option<Credential>,
    /// A file that holds `kafka.sasl_password`.
    #[schemars(extend("x-shape" = "a path"))]
    pub sasl_password_file: Option<PathBuf>,
    /// Where tokens come from, for `oauthbearer`: the token endpoint of an OAuth 2.0 server, asked by
    /// the client credentials grant.
    #[schemars(with = "Option<Text<OneUrl>>")]
    pub oauth_token_url: Option<OneUrl>,
    /// Our client id there.
    #[schemars(extend("x-shape" = "a name"))]
    pub oauth_client_id: Option<String>,
    /// Our client secret there.
    #[schemars(with = "Option<Text<Credential>>", extend("writeOnly" = true))]
    pub oauth_client_secret: Option<Credential>,
    /// A file that holds `kafka.oauth_client_secret`.
    #[schemars(extend("x-shape" = "a path"))]
    pub oauth_client_secret_file: Option<PathBuf>,
    /// The scope to ask for.
    #[schemars(extend("x-shape" = "scopes, separated by spaces"))]
    pub oauth_scope: Option<String>,
    /// Roots (PEM) that its certificate must lead to. Without: those that this machine trusts.
    #[schemars(extend("x-shape" = "a path"))]
    pub oauth_ca: Option<PathBuf>,
    /// The Confluent-compatible schema registry. Several URLs of one registry are tried one after
    /// another.
    #[schemars(with = "Option<Text<Urls>>")]
    pub registry_url: Option<Urls>,
    /// Our name there (Basic).
    #[schemars(extend("x-shape" = "a name"))]
    pub registry_username: Option<String>,
    /// Our password there (Basic).
    #[schemars(with = "Option<Text<Credential>>", extend("writeOnly" = true))]
    pub registry_password: Option<Credential>,
    /// A file that holds `kafka.registry_password`.
    #[schemars(extend("x-shape" = "a path"))]
    pub registry_password_file: Option<PathBuf>,
    /// Our token there (Bearer), instead of name and password.
    #[schemars(with = "Option<Text<Credential>>", extend("writeOnly" = true))]
    pub registry_token: Option<Credential>,
    /// A file that holds `kafka.registry_token`.
    #[schemars(extend("x-shape" = "a path"))]
    pub registry_token_file: Option<PathBuf>,
    /// Roots (PEM) that its certificate must lead to. Without: those that this machine trusts.
    #[schemars(extend("x-shape" = "a path"))]
    pub registry_ca: Option<PathBuf>,
    /// How long one of its addresses may take to answer.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Text", extend("x-minimum" = "100ms", "x-maximum" = "1m"))]
    pub registry_timeout: Duration,
}

impl<Own: Default> Default for Kafka<Own> {
    fn default() -> Self {
        Self {
            brokers: Vec::new(),
            topic: TopicName::registration(),
            own: Own::default(),
            tls: false,
            tls_ca: None,
            tls_cert: None,
            tls_key: None,
            sasl_mechanism: Mechanism::default(),
            sasl_username: None,
            sasl_password: None,
            sasl_password_file: None,
            oauth_token_url: None,
            oauth_client_id: None,
            oauth_client_secret: None,
            oauth_client_secret_file: None,
            oauth_scope: None,
            oauth_ca: None,
            registry_url: None,
            registry_username: None,
            registry_password: None,
            registry_password_file: None,
            registry_token: None,
            registry_token_file: None,
            registry_ca: None,
            registry_timeout: Duration::from_secs(5),
        }
    }
}

/// How we tell brokers who we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mechanism {
    /// Not at all, or by our certificate.
    #[default]
    None,
    /// Name and password as they are (RFC 4616): only over TLS.
    Plain,
    /// Name and password; the password is never sent (RFC 7677).
    #[serde(rename = "scram-sha-256")]
    ScramSha256,
    /// The same with SHA-512.
    #[serde(rename = "scram-sha-512")]
    ScramSha512,
    /// A token of an OAuth 2.0 server (RFC 7628).
    #[serde(rename = "oauthbearer")]
    OAuthBearer,
}
