//! Where events go.

use std::sync::Arc;

use sso_events::{EventSink, LogSink};
use sso_kafka::{Connection, KafkaSink, SettingsError, SinkSettings, Status, registry::Registry};

use super::block_on;
use crate::{
    config::{
        Config,
        section::{Compression, Kafka, Sink},
    },
    exit::{Exit, Failed},
};

/// The sink, and Kafka's part of it that can be asked how it is.
pub(crate) struct Outlet {
    /// For the relay.
    pub(crate) sink: Arc<dyn EventSink>,
    /// If events go there.
    pub(crate) kafka: Option<Arc<KafkaSink>>,
}

/// Makes the sink. Connects to nothing.
pub(crate) fn outlet(config: &Config) -> Result<Outlet, Failed> {
    match config.events.sink {
        Sink::Log => Ok(Outlet {
            sink: Arc::new(LogSink),
            kafka: None,
        }),
        Sink::Kafka => {
            let kafka = Arc::new(kafka_sink(&config.kafka).map_err(|error| of_settings(&error))?);
            Ok(Outlet {
                sink: Arc::clone(&kafka) as _,
                kafka: Some(kafka),
            })
        }
    }
}

/// Looks at Kafka and the registry, and changes nothing there.
pub(crate) fn examine_kafka(config: &Config) -> Result<Status, Failed> {
    let kafka = kafka_sink(&config.kafka).map_err(|error| of_settings(&error))?;
    block_on(async { Ok(kafka.examine().await) })
}

fn of_settings(error: &SettingsError) -> Failed {
    Failed::new(Exit::Configuration, format!("kafka: {error}"))
}

fn kafka_sink(kafka: &Kafka) -> Result<KafkaSink, SettingsError> {
    let settings = SinkSettings {
        connection: Connection::of(kafka, "sso")?,
        topic: kafka.topic.as_str().to_owned(),
        delivery_timeout: kafka.own.delivery_timeout,
        compression: match kafka.own.compression {
            Compression::None => sso_kafka::Compression::None,
            Compression::Lz4 => sso_kafka::Compression::Lz4,
            Compression::Zstd => sso_kafka::Compression::Zstd,
            Compression::Gzip => sso_kafka::Compression::Gzip,
        },
        max_record: kafka.own.max_record,
    };
    KafkaSink::new(settings, Arc::new(Registry::of(kafka)?))
}
