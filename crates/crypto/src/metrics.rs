//! The metrics of the hashing pool, by the contract's names.

use std::time::Duration;

use metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};
use sso_core::ports::Queue;

const DEPTH: &str = "sso_hash_queue_depth";
const REFUSED: &str = "sso_hash_refused_total";
const WAIT: &str = "sso_hash_wait_seconds";
const DURATION: &str = "sso_hash_duration_seconds";

/// Describes these metrics and makes their series exist.
pub fn register_metrics() {
    describe_gauge!(DEPTH, Unit::Count, "Jobs that wait for the hashing pool.");
    describe_counter!(
        REFUSED,
        Unit::Count,
        "Jobs that the hashing pool refused: full, displaced or too late."
    );
    describe_histogram!(
        DURATION,
        Unit::Seconds,
        "Time that one hash took, without the wait in the queue."
    );
    describe_histogram!(
        WAIT,
        Unit::Seconds,
        "Time that jobs waited in a queue before a thread took them."
    );
    for queue in [Queue::Login, Queue::Registration] {
        let _ = histogram!(WAIT, "queue" => name(queue));
        depth(queue, 0);
        counter!(REFUSED, "queue" => name(queue)).absolute(0);
    }
    for algorithm in ["argon2id", "bcrypt"] {
        let _ = histogram!(DURATION, "algorithm" => algorithm);
    }
}

pub(crate) fn depth(queue: Queue, jobs: usize) {
    let jobs = u32::try_from(jobs).unwrap_or(u32::MAX);
    gauge!(DEPTH, "queue" => name(queue)).set(f64::from(jobs));
}

pub(crate) fn refused(queue: Queue) {
    counter!(REFUSED, "queue" => name(queue)).increment(1);
}

pub(crate) fn waited(queue: Queue, time: Duration) {
    histogram!(WAIT, "queue" => name(queue)).record(time.as_secs_f64());
}

pub(crate) fn duration(algorithm: &'static str, taken: Duration) {
    histogram!(DURATION, "algorithm" => algorithm).record(taken.as_secs_f64());
}

const fn name(queue: Queue) -> &'static str {
    match queue {
        Queue::Login => "login",
        Queue::Registration => "registration",
    }
}

#[cfg(test)]
mod tests {
    use metrics_exporter_prometheus::PrometheusBuilder;

    use super::*;

    #[test]
    fn every_series_exists_from_the_start() {
        let recorder = PrometheusBuilder::new().build_recorder();
        metrics::with_local_recorder(&recorder, register_metrics);
        let page = recorder.handle().render();
        for line in [
            "sso_hash_queue_depth{queue=\"login\"} 0",
            "sso_hash_queue_depth{queue=\"registration\"} 0",
            "sso_hash_refused_total{queue=\"login\"} 0",
            "sso_hash_refused_total{queue=\"registration\"} 0",
            "sso_hash_wait_seconds_count{queue=\"login\"} 0",
            "sso_hash_wait_seconds_count{queue=\"registration\"} 0",
            "sso_hash_duration_seconds_count{algorithm=\"argon2id\"} 0",
            "sso_hash_duration_seconds_count{algorithm=\"bcrypt\"} 0",
        ] {
            assert!(page.lines().any(|l| l == line), "{line} is not in\n{page}");
        }
    }

    #[test]
    fn a_refusal_is_counted_for_its_queue() {
        let recorder = PrometheusBuilder::new().build_recorder();
        metrics::with_local_recorder(&recorder, || {
            refused(Queue::Registration);
            depth(Queue::Login, 3);
            duration("bcrypt", Duration::from_secs(1));
        });
        let page = recorder.handle().render();
        assert!(page.contains("sso_hash_refused_total{queue=\"registration\"} 1"));
        assert!(page.contains("sso_hash_queue_depth{queue=\"login\"} 3"));
        assert!(page.contains("sso_hash_duration_seconds_sum{algorithm=\"bcrypt\"} 1"));
    }
}
