//! Events to Kafka: the sink, the Schema Registry, and a consumer for our services.
//!
//! [`KafkaSink`] is the [`sso_events::EventSink`] of an installation with Kafka. Values have the
//! Confluent wire format ([`wire`]); the schema is registered when the first event needs it
//! ([`registry`]). [`consumer`] is what services are built on that live on these events.

mod configured;
pub mod connection;
pub mod consumer;
mod context;
mod http;
mod metrics;
mod oauth;
mod producer;
pub mod registry;
mod schema;
mod sink;
mod traces;
mod verdict;
pub mod wire;

pub use connection::{Connection, Sasl, Tls};
pub use metrics::{register_consumer_metrics, register_metrics};
pub use oauth::ClientCredentials;
pub use schema::{COMPATIBILITY, REGISTRATION_SCHEMA, subject_of};
pub use sink::{Compression, KafkaSink, SinkSettings, Status};

/// A setting that cannot work.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// Certificates that should be trusted.
    #[error("{path} holds no certificates that can be trusted: {why}")]
    Roots {
        /// The file.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// An address.
    #[error("{0} is no http or https URL without credentials, query and fragment")]
    Url(String),
    /// What librdkafka refuses.
    #[error("Kafka: {0}")]
    Kafka(String),
}

impl From<rdkafka::error::KafkaError> for SettingsError {
    fn from(error: rdkafka::error::KafkaError) -> Self {
        Self::Kafka(verdict::shown(&error))
    }
}
