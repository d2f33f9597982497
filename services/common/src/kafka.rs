//! Where events come from: Kafka and its schema registry.

mod connect;

pub(crate) use connect::{connection, consumer, of_settings, registry};

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sso_config::{
    Rules, duration,
    remote::TopicName,
    values::{Shape, Text},
};

/// The section of a consumer.
pub type Kafka = sso_config::kafka::Kafka<Consuming>;

/// The keys that only a consumer has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Consuming {
    /// The consumer group. Instances of one group share the work.
    #[schemars(extend("x-shape" = "a name"))]
    pub group: String,
    /// Where events go that can never be handled, with the reason in their headers. It must exist, or
    /// the brokers must create topics by themselves. By default `<topic>.<group>.dead-letter`.
    #[schemars(with = "Option<Text<TopicName>>")]
    pub dead_letter_topic: Option<String>,
    /// Most events that are handled at once.
    #[schemars(range(min = 1, max = 1000))]
    pub concurrency: usize,
    /// How long to wait for a schema that the registry does not know, before its event is parked.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Text", extend("x-minimum" = "0s", "x-maximum" = "1h"))]
    pub unknown_schema: Duration,
}

impl Default for Consuming {
    fn default() -> Self {
        Self {
            group: String::new(),
            dead_letter_topic: None,
            concurrency: 16,
            unknown_schema: Duration::from_secs(30),
        }
    }
}

/// The defaults, in this group.
pub fn in_group(group: &str) -> Kafka {
    let own = Consuming {
        group: group.to_owned(),
        ..Consuming::default()
    };
    Kafka {
        own,
        ..Kafka::default()
    }
}

/// The dead-letter topic, by its default if it is not set.
pub(crate) fn dead_letters(kafka: &Kafka) -> String {
    match &kafka.own.dead_letter_topic {
        Some(topic) => topic.clone(),
        None => format!("{}.{}.dead-letter", kafka.topic, kafka.own.group),
    }
}

/// Says which rules of the section are broken.
pub fn validate(kafka: &Kafka, rules: &mut Rules<'_>) {
    kafka.demand(rules, None);
    kafka.validate(rules);
    let topic = kafka.own.dead_letter_topic.as_deref();
    if topic.is_some_and(|topic| topic.parse::<TopicName>().is_err()) {
        let text = format!("must be {}", TopicName::SHAPE);
        rules.broken("kafka.dead_letter_topic", &[], &text);
    }
}
