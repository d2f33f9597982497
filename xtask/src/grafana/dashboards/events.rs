//! From the outbox to Kafka.

use super::super::{Panel, Unit};

pub(super) const PANELS: &[Panel] = &[
    Panel {
        title: "Outbox",
        text: "Events that are not delivered.",
        unit: Unit::Count,
        queries: &[(r"max by (status) (sso_outbox_backlog)", "{{status}}")],
    },
    Panel {
        title: "Oldest event",
        text: "",
        unit: Unit::Seconds,
        queries: &[(r"max(sso_outbox_oldest_seconds)", "waits")],
    },
    Panel {
        title: "Sent to Kafka",
        text: "By outcome.",
        unit: Unit::PerSecond,
        queries: &[(
            r"sum by (outcome) (rate(sso_kafka_sends_total[$__rate_interval]))",
            "{{outcome}}",
        )],
    },
    Panel {
        title: "Failures",
        text: "By reason.",
        unit: Unit::PerSecond,
        queries: &[(
            r"sum by (reason) (rate(sso_kafka_failures_total[$__rate_interval]))",
            "{{reason}}",
        )],
    },
    Panel {
        title: "Time of a delivery",
        text: "95th percentile of a batch. Kafka only.",
        unit: Unit::Seconds,
        queries: &[(
            r"histogram_quantile(0.95, sum by (le) (rate(sso_kafka_delivery_duration_seconds_bucket[$__rate_interval])))",
            "19 of 20",
        )],
    },
    Panel {
        title: "Schema registry",
        text: "Requests by outcome.",
        unit: Unit::PerSecond,
        queries: &[(
            r"sum by (operation, outcome) (rate(sso_registry_requests_total[$__rate_interval]))",
            "{{operation}} {{outcome}}",
        )],
    },
    Panel {
        title: "Spans",
        text: "Of traces, by what became of them.",
        unit: Unit::PerSecond,
        queries: &[(
            r"sum by (outcome) (rate(sso_trace_spans_total[$__rate_interval]))",
            "{{outcome}}",
        )],
    },
    Panel {
        title: "Shards",
        text: "Of the outbox's 8, by the instance that delivers them.",
        unit: Unit::Count,
        queries: &[
            (r"sum by (instance) (sso_outbox_shards)", "{{instance}}"),
            (r"sum(sso_outbox_shards)", "all"),
        ],
    },
    Panel {
        title: "Producers made",
        text: "One for each start, and one after each fatal error.",
        unit: Unit::Count,
        queries: &[(
            r"sum by (instance) (increase(sso_kafka_producers_total[1h]))",
            "{{instance}}",
        )],
    },
];
