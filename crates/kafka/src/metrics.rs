//! What is counted. All labels are of closed sets.

use std::time::Duration;

use metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};

use crate::{registry::RegistryError, verdict::Reason};

const SENDS: &str = "sso_kafka_sends_total";
const FAILURES: &str = "sso_kafka_failures_total";
const LATENCY: &str = "sso_kafka_delivery_duration_seconds";
const PRODUCERS: &str = "sso_kafka_producers_total";
const REGISTRY: &str = "sso_registry_requests_total";

const CONSUMED: &str = "sso_kafka_consumed_total";
const LAG: &str = "sso_kafka_consumer_lag_records";

/// The operation that a consumer asks for.
const SCHEMA: &str = "schema";
const OPERATIONS: [&str; 6] = [
    "register",
    "look_up",
    SCHEMA,
    "compatible",
    "level",
    "set_level",
];

/// Describes them and makes those of the sink exist at 0.
pub fn register_metrics() {
    describe_counter!(SENDS, Unit::Count, "Events given to Kafka, by outcome.");
    describe_counter!(
        FAILURES,
        Unit::Count,
        "Events that Kafka did not take, by reason."
    );
    describe_histogram!(
        LATENCY,
        Unit::Seconds,
        "From giving a batch of events to Kafka to its last report."
    );
    describe_counter!(
        PRODUCERS,
        Unit::Count,
        "Producers made: the first, and one after each fatal error."
    );
    for outcome in ["delivered", "refused", "unreachable", "held_back"] {
        counter!(SENDS, "outcome" => outcome).absolute(0);
    }
    for reason in Reason::ALL {
        counter!(FAILURES, "reason" => reason.word()).absolute(0);
    }
    counter!(PRODUCERS).absolute(0);
    register_registry(&OPERATIONS);
}

/// Describes those of a consumer and makes them exist at 0.
pub fn register_consumer_metrics() {
    describe_counter!(
        CONSUMED,
        Unit::Count,
        "Events that were taken from Kafka, by what became of them; parked: in the dead-letter topic."
    );
    describe_gauge!(
        LAG,
        Unit::Count,
        "Events of the partitions of this member that its group has not finished."
    );
    for outcome in ["done", "retried", "parked"] {
        counter!(CONSUMED, "outcome" => outcome).absolute(0);
    }
    gauge!(LAG).set(0.0);
    register_registry(&[SCHEMA]);
}

fn register_registry(operations: &[&'static str]) {
    describe_counter!(
        REGISTRY,
        Unit::Count,
        "Questions to the schema registry, by operation and outcome."
    );
    for &operation in operations {
        counter!(REGISTRY, "operation" => operation, "outcome" => "ok").absolute(0);
    }
}

#[expect(clippy::cast_precision_loss, reason = "records of a topic")]
pub(crate) fn lags(records: i64) {
    gauge!(LAG).set(records as f64);
}

pub(crate) fn consumed(outcome: &'static str) {
    counter!(CONSUMED, "outcome" => outcome).increment(1);
}

pub(crate) fn sent(outcome: &'static str, count: usize) {
    counter!(SENDS, "outcome" => outcome).increment(count as u64);
}

pub(crate) fn failed(reason: Reason) {
    counter!(FAILURES, "reason" => reason.word()).increment(1);
}

pub(crate) fn took(time: Duration) {
    histogram!(LATENCY).record(time);
}

pub(crate) fn producer_made() {
    counter!(PRODUCERS).increment(1);
}

pub(crate) fn registry_asked(operation: &'static str, error: Option<&RegistryError>) {
    let outcome = error.map_or("ok", RegistryError::word);
    counter!(REGISTRY, "operation" => operation, "outcome" => outcome).increment(1);
}
