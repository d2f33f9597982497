//! Which events a consumer takes, and within what bounds.

use std::time::Duration;

use rdkafka::ClientConfig;

use crate::Connection;

/// Which events, and within what bounds.
#[derive(Debug, Clone)]
pub struct ConsumerSettings {
    /// The brokers.
    pub connection: Connection,
    /// The topic.
    pub topic: String,
    /// Instances of one group share the topic's partitions.
    pub group: String,
    /// Where poison goes; it must exist.
    pub dead_letter_topic: String,
    /// Most events that are handled at once.
    pub concurrency: usize,
    /// Most events that are taken and not finished; then no more are taken.
    pub pending: usize,
    /// How far finished events may be ahead of one that is not; then no more are taken. That many may
    /// come again after a crash.
    pub ahead: usize,
    /// How long to wait for a schema that the registry does not know, before its event is parked.
    pub unknown_schema: Duration,
    /// How long the events under way may take to end at a shutdown.
    pub drain: Duration,
}

impl ConsumerSettings {
    /// The usual bounds, and the dead-letter topic `<topic>.<group>.dead-letter`.
    pub fn new(connection: Connection, topic: &str, group: &str) -> Self {
        Self {
            connection,
            topic: topic.to_owned(),
            group: group.to_owned(),
            dead_letter_topic: format!("{topic}.{group}.dead-letter"),
            concurrency: 16,
            pending: 1000,
            ahead: 10_000,
            unknown_schema: Duration::from_secs(30),
            drain: Duration::from_secs(10),
        }
    }

    /// What librdkafka is told.
    pub(super) fn client_config(&self) -> ClientConfig {
        let mut config = self.connection.client_config();
        config
            .set("group.id", &self.group)
            .set("auto.offset.reset", "earliest")
            .set("enable.auto.commit", "true")
            .set("auto.commit.interval.ms", "1000")
            // After the effect, by us.
            .set("enable.auto.offset.store", "false")
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("session.timeout.ms", "10000")
            .set("heartbeat.interval.ms", "1000")
            // A topic that is made after us is noticed.
            .set("topic.metadata.refresh.interval.ms", "5000")
            .set("queued.min.messages", "1000")
            .set("queued.max.messages.kbytes", "8192")
            .set("isolation.level", "read_committed")
            // How far behind we are.
            .set("statistics.interval.ms", "5000");
        config
    }
}
