//! Kafka and its schema registry.

use std::{path::PathBuf, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::{
    duration,
    remote::{Broker, Credential, TopicName, Urls},
    values::{Text, text},
};

/// Kafka, for `events.sink = "kafka"`. Brokers and registry may be away, at the start too: events wait
/// in the database and are delivered when both are back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Kafka {
    /// Some of the brokers; the others are learnt from them.
    #[schemars(with = "Vec<Text<Broker>>", length(min = 0, max = 32))]
    pub(crate) brokers: Vec<Broker>,
    /// The topic. It must exist: nothing here creates one.
    #[serde(with = "text")]
    #[schemars(with = "Text<TopicName>")]
    pub(crate) topic: TopicName,
    /// How long brokers may take to acknowledge an event before it is tried again.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Text", extend("x-minimum" = "1s", "x-maximum" = "5m"))]
    pub(crate) delivery_timeout: Duration,
    /// How batches of events are compressed.
    pub(crate) compression: Compression,
    /// Longest record in bytes. Not more than brokers and topic take (`message.max.bytes`,
    /// `max.message.bytes`); a longer one stands as `Failed`.
    #[schemars(range(min = 1_000, max = 16_777_216))]
    pub(crate) max_record: u32,
    /// Whether brokers speak TLS.
    pub(crate) tls: bool,
    /// Roots (PEM) that the brokers' certificates must lead to. Without: those that this machine
    /// trusts.
    #[schemars(extend("x-shape" = "a path"))]
    pub(crate) tls_ca: Option<PathBuf>,
    /// Our own certificate (PEM), for brokers that ask for one.
    #[schemars(extend("x-shape" = "a path"))]
    pub(crate) tls_cert: Option<PathBuf>,
    /// Its private key (PEM).
    #[schemars(extend("x-shape" = "a path"))]
    pub(crate) tls_key: Option<PathBuf>,
    /// How we tell brokers who we are.
    pub(crate) sasl_mechanism: Mechanism,
    /// Our name, for `plain` and `scram-*`.
    #[schemars(extend("x-shape" = "a name"))]
    pub(crate) sasl_username: Option<String>,
    /// Our password, for `plain` and `scram-*`.
    #[schemars(with = "Option<Text<Credential>>", extend("writeOnly" = true))]
    pub(crate) sasl_password: Option<Credential>,
    /// A file that holds `kafka.sasl_password`.
    #[schemars(extend("x-shape" = "a path"))]
    pub(crate) sasl_password_file: Option<PathBuf>,
    /// Where tokens come from, for `oauthbearer`: the token endpoint of an OAuth 2.0 server, asked by
    /// the client credentials grant.
    #[schemars(with = "Option<Text<Urls>>")]
    pub(crate) oauth_token_url: Option<Urls>,
    /// Our client id there.
    #[schemars(extend("x-shape" = "a name"))]
    pub(crate) oauth_client_id: Option<String>,
    /// Our client secret there.
    #[schemars(with = "Option<Text<Credential>>", extend("writeOnly" = true))]
    pub(crate) oauth_client_secret: Option<Credential>,
    /// A file that holds `kafka.oauth_client_secret`.
    #[schemars(extend("x-shape" = "a path"))]
    pub(crate) oauth_client_secret_file: Option<PathBuf>,
    /// The scope to ask for.
    #[schemars(extend("x-shape" = "scopes, separated by spaces"))]
    pub(crate) oauth_scope: Option<String>,
    /// Roots (PEM) that its certificate must lead to. Without: those that this machine trusts.
    #[schemars(extend("x-shape" = "a path"))]
    pub(crate) oauth_ca: Option<PathBuf>,
    /// The Confluent-compatible schema registry. Several URLs of one registry are tried one after
    /// another.
    #[schemars(with = "Option<Text<Urls>>")]
    pub(crate) registry_url: Option<Urls>,
    /// Our name there (Basic).
    #[schemars(extend("x-shape" = "a name"))]
    pub(crate) registry_username: Option<String>,
    /// Our password there (Basic).
    #[schemars(with = "Option<Text<Credential>>", extend("writeOnly" = true))]
    pub(crate) registry_password: Option<Credential>,
    /// A file that holds `kafka.registry_password`.
    #[schemars(extend("x-shape" = "a path"))]
    pub(crate) registry_password_file: Option<PathBuf>,
    /// Our token there (Bearer), instead of name and password.
    #[schemars(with = "Option<Text<Credential>>", extend("writeOnly" = true))]
    pub(crate) registry_token: Option<Credential>,
    /// A file that holds `kafka.registry_token`.
    #[schemars(extend("x-shape" = "a path"))]
    pub(crate) registry_token_file: Option<PathBuf>,
    /// Roots (PEM) that its certificate must lead to. Without: those that this machine trusts.
    #[schemars(extend("x-shape" = "a path"))]
    pub(crate) registry_ca: Option<PathBuf>,
    /// How long one of its addresses may take to answer.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Text", extend("x-minimum" = "100ms", "x-maximum" = "1m"))]
    pub(crate) registry_timeout: Duration,
}

impl Default for Kafka {
    fn default() -> Self {
        Self {
            brokers: Vec::new(),
            topic: TopicName::registration(),
            delivery_timeout: Duration::from_secs(10),
            compression: Compression::default(),
            max_record: 1_000_000,
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

/// How batches of events are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Compression {
    /// Not at all.
    #[default]
    None,
    /// Quick.
    Lz4,
    /// Small.
    Zstd,
    /// For old consumers.
    Gzip,
}

/// How we tell brokers who we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mechanism {
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
