//! The consumers of events: what is behind, what was done, what was given up.

use super::super::{Panel, Unit};

pub(super) const PANELS: &[Panel] = &[
    Panel {
        title: "Behind",
        text: "Events of its partitions that a group has not finished. Consumers only.",
        unit: Unit::Count,
        queries: &[(r"sum by (job) (sso_kafka_consumer_lag_records)", "{{job}}")],
    },
    Panel {
        title: "Consumed",
        text: "By service and what became of it; parked: in the dead-letter topic. Consumers only.",
        unit: Unit::PerSecond,
        queries: &[(
            r"sum by (job, outcome) (rate(sso_kafka_consumed_total[$__rate_interval]))",
            "{{job}} {{outcome}}",
        )],
    },
    Panel {
        title: "Parked in 24 hours",
        text: "Each waits for a person. Consumers only.",
        unit: Unit::Count,
        queries: &[(
            r#"sum by (job) (increase(sso_kafka_consumed_total{outcome="parked"}[24h]))"#,
            "{{job}}",
        )],
    },
    Panel {
        title: "Mails",
        text: "By what became of them. Consumers only.",
        unit: Unit::PerSecond,
        queries: &[(
            r"sum by (outcome) (rate(welcome_mails_total[$__rate_interval]))",
            "{{outcome}}",
        )],
    },
    Panel {
        title: "Mails that were not taken",
        text: "By the mail server's reason; they are tried again. Consumers only.",
        unit: Unit::PerSecond,
        queries: &[(
            r"sum by (reason) (rate(welcome_smtp_failures_total[$__rate_interval]))",
            "{{reason}}",
        )],
    },
    Panel {
        title: "Welcome points",
        text: "Registrations by what became of their points. Consumers only.",
        unit: Unit::PerSecond,
        queries: &[(
            r"sum by (outcome) (rate(loyalty_credits_total[$__rate_interval]))",
            "{{outcome}}",
        )],
    },
    Panel {
        title: "Orders of points",
        text: "d: deposits, w: withdrawals. Consumers only.",
        unit: Unit::PerSecond,
        queries: &[(
            r"sum by (operation, outcome) (rate(loyalty_orders_total[$__rate_interval]))",
            "{{operation}} {{outcome}}",
        )],
    },
    Panel {
        title: "The ledger",
        text: "Both are always 0. Consumers only.",
        unit: Unit::Count,
        queries: &[
            (r"sum(abs(loyalty_ledger_balance))", "sum"),
            (r"sum(loyalty_ledger_unbalanced)", "unbalanced"),
        ],
    },
    Panel {
        title: "What they need",
        text: "1: it answers. Consumers only.",
        unit: Unit::Count,
        queries: &[(
            r"min by (job, dependency) (sso_service_dependency_up)",
            "{{job}} {{dependency}}",
        )],
    },
    Panel {
        title: "Tokens",
        text: "Verified in process, by what became of them. unavailable: nobody could say whether they are \
               good, and callers got 503; always 0. Consumers only.",
        unit: Unit::PerSecond,
        queries: &[(
            r"sum by (outcome) (rate(sso_verifier_tokens_total[$__rate_interval]))",
            "{{outcome}}",
        )],
    },
    Panel {
        title: "Revocations are trusted",
        text: "At the last beat that was heard of sso: nearly a second. 0: nothing is heard, and sso is asked \
               about each token. Consumers only.",
        unit: Unit::Seconds,
        queries: &[(
            r"min by (job, instance) (sso_verifier_trusted_seconds)",
            "{{job}} {{instance}}",
        )],
    },
    Panel {
        title: "Streams of revocations that broke",
        text: "In 10 minutes: one when an instance of sso stops. More: sso or the way to it fails, or does \
               not accept the caller. Consumers only.",
        unit: Unit::Count,
        queries: &[(
            r"sum by (job, instance) (increase(sso_verifier_streams_ended_total[10m]))",
            "{{job}} {{instance}}",
        )],
    },
    Panel {
        title: "Tokens asked about",
        text: "While no revocations are heard: 0 but after a start. unanswered: callers got 503. Consumers \
               only.",
        unit: Unit::PerSecond,
        queries: &[(
            r"sum by (outcome) (rate(sso_verifier_questions_total[$__rate_interval]))",
            "{{outcome}}",
        )],
    },
    Panel {
        title: "Revocations in memory",
        text: "As many as matter to sso. Far fewer: they are not heard. Consumers only.",
        unit: Unit::Count,
        queries: &[(
            r"max by (job, instance) (sso_verifier_revocations)",
            "{{job}} {{instance}}",
        )],
    },
    Panel {
        title: "Requests",
        text: "By service and status. Consumers only.",
        unit: Unit::PerSecond,
        queries: &[(
            r#"sum by (job, code) (rate(sso_http_requests_total{job!="sso"}[$__rate_interval]))"#,
            "{{job}} {{code}}",
        )],
    },
    Panel {
        title: "Latency",
        text: "95th percentile by service. Consumers only.",
        unit: Unit::Seconds,
        queries: &[(
            r#"histogram_quantile(0.95, sum by (job, le) (rate(sso_http_request_duration_seconds_bucket{job!="sso"}[$__rate_interval])))"#,
            "{{job}}",
        )],
    },
    Panel {
        title: "Memory",
        text: "Resident. Consumers only.",
        unit: Unit::Bytes,
        queries: &[(
            r#"process_resident_memory_bytes{job!="sso"}"#,
            "{{job}} {{instance}}",
        )],
    },
    Panel {
        title: "Statements",
        text: "95th percentile by service and family. Consumers only.",
        unit: Unit::Seconds,
        queries: &[(
            r#"histogram_quantile(0.95, sum by (job, operation, table, le) (rate(sso_store_statement_duration_seconds_bucket{job!="sso"}[$__rate_interval])))"#,
            "{{job}} {{operation}} {{table}}",
        )],
    },
];
