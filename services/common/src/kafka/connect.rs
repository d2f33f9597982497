//! From the section to what the client needs.

use std::{sync::Arc, time::Duration};

use sso_kafka::{Connection, SettingsError, consumer::ConsumerSettings, registry::Registry};

use super::{Kafka, dead_letters};
use crate::{Exit, Failed};

/// How brokers are reached.
pub(crate) fn connection(kafka: &Kafka) -> Result<Connection, Failed> {
    Connection::of(kafka, &kafka.own.group).map_err(|error| of_settings(&error))
}

/// The registry. Connects to nothing.
pub(crate) fn registry(kafka: &Kafka) -> Result<Arc<Registry>, Failed> {
    Registry::of(kafka)
        .map(Arc::new)
        .map_err(|error| of_settings(&error))
}

/// What the consumer is told.
pub(crate) fn consumer(kafka: &Kafka, drain: Duration) -> Result<ConsumerSettings, Failed> {
    let connection = connection(kafka)?;
    let mut settings = ConsumerSettings::new(connection, kafka.topic.as_str(), &kafka.own.group);
    settings.dead_letter_topic = dead_letters(kafka);
    settings.concurrency = kafka.own.concurrency;
    settings.unknown_schema = kafka.own.unknown_schema;
    settings.drain = drain;
    Ok(settings)
}

pub(crate) fn of_settings(error: &SettingsError) -> Failed {
    Failed::new(Exit::Configuration, format!("kafka: {error}"))
}
