//! Kafka and its schema registry, for `events.sink = "kafka"`.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::duration;

/// The section of a producer.
pub(crate) type Kafka = sso_config::kafka::Kafka<Producing>;

/// The keys that only a producer has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Producing {
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
}

impl Default for Producing {
    fn default() -> Self {
        Self {
            delivery_timeout: Duration::from_secs(10),
            compression: Compression::default(),
            max_record: 1_000_000,
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
