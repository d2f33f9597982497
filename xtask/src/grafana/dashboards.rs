//! The panels. To add one is to add it to a list; every query must find data in the test that scrapes
//! a running installation (`crates/server/tests/it/dashboards.rs`), which knows those of other
//! stores and services by the words "only" in their texts.

use super::{Dashboard, Panel, Unit};

pub(super) const ALL: &[Dashboard] = &[
    Dashboard {
        uid: "sso-overview",
        title: "sso: overview",
        panels: OVERVIEW,
    },
    Dashboard {
        uid: "sso-logins",
        title: "sso: logins and hashing",
        panels: LOGINS,
    },
    Dashboard {
        uid: "sso-store",
        title: "sso: database and replicas",
        panels: STORE,
    },
    Dashboard {
        uid: "sso-revocation",
        title: "sso: revocation and keys",
        panels: REVOCATION,
    },
    Dashboard {
        uid: "sso-events",
        title: "sso: events and consumers",
        panels: EVENTS,
    },
];

const OVERVIEW: &[Panel] = &[
    Panel {
        title: "HTTP requests",
        text: "Traffic by route.",
        unit: Unit::PerSecond,
        queries: &[(
            r"sum by (route) (rate(sso_http_requests_total[$__rate_interval]))",
            "{{route}}",
        )],
    },
    Panel {
        title: "Calls of rpcs",
        text: "Traffic by method.",
        unit: Unit::PerSecond,
        queries: &[(
            r"sum by (method) (rate(sso_grpc_requests_total[$__rate_interval]))",
            "{{method}}",
        )],
    },
    Panel {
        title: "Failing requests",
        text: "Share of the requests that we are to blame for; the budget of 30 days is 0.1 %.",
        unit: Unit::Share,
        queries: &[
            (r"sso:errors:ratio_rate5m", "5 minutes"),
            (r"sso:errors:ratio_rate1h", "1 hour"),
        ],
    },
    Panel {
        title: "HTTP latency",
        text: "95th percentile by route.",
        unit: Unit::Seconds,
        queries: &[(
            r"histogram_quantile(0.95, sum by (route, le) (rate(sso_http_request_duration_seconds_bucket[$__rate_interval])))",
            "{{route}}",
        )],
    },
    Panel {
        title: "rpc latency",
        text: "99th percentile by method.",
        unit: Unit::Seconds,
        queries: &[(
            r"histogram_quantile(0.99, sum by (method, le) (rate(sso_grpc_request_duration_seconds_bucket[$__rate_interval])))",
            "{{method}}",
        )],
    },
    Panel {
        title: "Answers by status",
        text: "HTTP.",
        unit: Unit::PerSecond,
        queries: &[(
            r"sum by (code) (rate(sso_http_requests_total[$__rate_interval]))",
            "{{code}}",
        )],
    },
    Panel {
        title: "CPU",
        text: "Cores in use.",
        unit: Unit::Count,
        queries: &[(
            r#"rate(process_cpu_seconds_total{job="sso"}[$__rate_interval])"#,
            "{{instance}}",
        )],
    },
    Panel {
        title: "Memory",
        text: "Resident.",
        unit: Unit::Bytes,
        queries: &[(
            r#"process_resident_memory_bytes{job="sso"}"#,
            "{{instance}}",
        )],
    },
    Panel {
        title: "File descriptors",
        text: "Share of those allowed.",
        unit: Unit::Share,
        queries: &[(
            r#"process_open_fds{job="sso"} / process_max_fds{job="sso"}"#,
            "{{instance}}",
        )],
    },
    Panel {
        title: "Instances",
        text: "Scraped, and trusting their revocations.",
        unit: Unit::Count,
        queries: &[
            (r#"sum(up{job="sso"})"#, "up"),
            (r"sum(sso_revocation_trusted)", "trusting"),
        ],
    },
    Panel {
        title: "Connections dropped",
        text: "By reason.",
        unit: Unit::PerSecond,
        queries: &[(
            r"sum by (listener, reason) (rate(sso_connections_dropped_total[$__rate_interval]))",
            "{{listener}} {{reason}}",
        )],
    },
    Panel {
        title: "Alerts",
        text: "Firing now.",
        unit: Unit::Count,
        queries: &[(r#"sum(ALERTS{alertstate="firing"}) or vector(0)"#, "firing")],
    },
];

const LOGINS: &[Panel] = &[
    Panel {
        title: "Logins",
        text: "By outcome.",
        unit: Unit::PerSecond,
        queries: &[(
            r"sum by (outcome) (rate(sso_logins_total[$__rate_interval]))",
            "{{outcome}}",
        )],
    },
    Panel {
        title: "Registrations",
        text: "By outcome.",
        unit: Unit::PerSecond,
        queries: &[(
            r"sum by (outcome) (rate(sso_registrations_total[$__rate_interval]))",
            "{{outcome}}",
        )],
    },
    Panel {
        title: "Login latency",
        text: "With the wait for the hashing pool; failures wait for login.failure_floor.",
        unit: Unit::Seconds,
        queries: &[
            (
                r#"histogram_quantile(0.5, sum by (le) (rate(sso_http_request_duration_seconds_bucket{route="/auth/login"}[$__rate_interval])))"#,
                "half",
            ),
            (
                r#"histogram_quantile(0.95, sum by (le) (rate(sso_http_request_duration_seconds_bucket{route="/auth/login"}[$__rate_interval])))"#,
                "19 of 20",
            ),
        ],
    },
    Panel {
        title: "Hashing queue",
        text: "Jobs that wait.",
        unit: Unit::Count,
        queries: &[(
            r"sum by (instance, queue) (sso_hash_queue_depth)",
            "{{instance}} {{queue}}",
        )],
    },
    Panel {
        title: "Wait for the pool",
        text: "95th percentile.",
        unit: Unit::Seconds,
        queries: &[(
            r"histogram_quantile(0.95, sum by (queue, le) (rate(sso_hash_wait_seconds_bucket[$__rate_interval])))",
            "{{queue}}",
        )],
    },
    Panel {
        title: "Cost of a hash",
        text: "Mean, by algorithm.",
        unit: Unit::Seconds,
        queries: &[(
            r"sum by (algorithm) (rate(sso_hash_duration_seconds_sum[$__rate_interval])) / sum by (algorithm) (rate(sso_hash_duration_seconds_count[$__rate_interval]))",
            "{{algorithm}}",
        )],
    },
    Panel {
        title: "Refused by the pool",
        text: "No room, or too late.",
        unit: Unit::PerSecond,
        queries: &[(
            r"sum by (queue) (rate(sso_hash_refused_total[$__rate_interval]))",
            "{{queue}}",
        )],
    },
    Panel {
        title: "Throttled",
        text: "By the rule that refused.",
        unit: Unit::PerSecond,
        queries: &[(
            r"sum by (reason) (rate(sso_throttled_total[$__rate_interval]))",
            "{{reason}}",
        )],
    },
    Panel {
        title: "Refresh tokens used twice",
        text: "Each ended a session.",
        unit: Unit::PerSecond,
        queries: &[(
            r"sum(rate(sso_refresh_reuse_total[$__rate_interval]))",
            "reused",
        )],
    },
];

const STORE: &[Panel] = &[
    Panel {
        title: "Reads",
        text: "By who answered.",
        unit: Unit::PerSecond,
        queries: &[(
            r"sum by (role) (rate(sso_store_reads_total[$__rate_interval]))",
            "{{role}}",
        )],
    },
    Panel {
        title: "Share of reads on replicas",
        text: "",
        unit: Unit::Share,
        queries: &[(
            r#"sum(rate(sso_store_reads_total{role="replica"}[$__rate_interval])) / sum(rate(sso_store_reads_total[$__rate_interval]))"#,
            "replicas",
        )],
    },
    Panel {
        title: "Statements",
        text: "By family.",
        unit: Unit::PerSecond,
        queries: &[(
            r"sum by (operation, table) (rate(sso_store_statement_duration_seconds_count[$__rate_interval]))",
            "{{operation}} {{table}}",
        )],
    },
    Panel {
        title: "Latency of statements",
        text: "95th percentile by family.",
        unit: Unit::Seconds,
        queries: &[(
            r"histogram_quantile(0.95, sum by (operation, table, le) (rate(sso_store_statement_duration_seconds_bucket[$__rate_interval])))",
            "{{operation}} {{table}}",
        )],
    },
    Panel {
        title: "Connections",
        text: "To each server, by state. PostgreSQL only.",
        unit: Unit::Count,
        queries: &[(
            r"sum by (server, state) (sso_store_connections)",
            "{{server}} {{state}}",
        )],
    },
    Panel {
        title: "Waiting for a connection",
        text: "Callers. PostgreSQL only.",
        unit: Unit::Count,
        queries: &[(r"sum by (instance) (sso_store_waiting)", "{{instance}}")],
    },
    Panel {
        title: "Replica lag",
        text: "Of the furthest behind at an address. PostgreSQL with replicas only.",
        unit: Unit::Seconds,
        queries: &[(
            r"max by (replica) (sso_store_replica_lag_seconds)",
            "{{replica}}",
        )],
    },
    Panel {
        title: "Timeline",
        text: "Of the primary; 0: there is none. PostgreSQL only.",
        unit: Unit::Count,
        queries: &[(r"max by (instance) (sso_store_timeline)", "{{instance}}")],
    },
    Panel {
        title: "Failovers and evictions",
        text: "PostgreSQL only.",
        unit: Unit::Count,
        queries: &[
            (
                r"sum(increase(sso_store_failovers_total[10m]))",
                "failovers",
            ),
            (
                r"sum(increase(sso_store_evicted_total[10m]))",
                "evicted connections",
            ),
        ],
    },
    Panel {
        title: "Statements sent again",
        text: "After a failure that did nothing.",
        unit: Unit::PerSecond,
        queries: &[(
            r"sum by (instance) (rate(sso_store_retries_total[$__rate_interval]))",
            "{{instance}}",
        )],
    },
    Panel {
        title: "Rows deleted",
        text: "By the janitor.",
        unit: Unit::PerSecond,
        queries: &[(
            r"sum by (table) (rate(sso_janitor_deleted_total[$__rate_interval]))",
            "{{table}}",
        )],
    },
];

const REVOCATION: &[Panel] = &[
    Panel {
        title: "Trusted",
        text: "1: the instance knows what is revoked, 0: it accepts no token.",
        unit: Unit::Count,
        queries: &[(r"sso_revocation_trusted", "{{instance}}")],
    },
    Panel {
        title: "Lease left",
        text: "At 0 nothing is trusted.",
        unit: Unit::Seconds,
        queries: &[(r"sso_revocation_lease_seconds", "{{instance}}")],
    },
    Panel {
        title: "Age of the last beat",
        text: "",
        unit: Unit::Seconds,
        queries: &[(r"sso_revocation_beat_age_seconds", "{{instance}}")],
    },
    Panel {
        title: "Revocations that matter",
        text: "",
        unit: Unit::Count,
        queries: &[(r"sso_revocation_entries", "{{instance}}")],
    },
    Panel {
        title: "Commit to everywhere",
        text: "95th percentile.",
        unit: Unit::Seconds,
        queries: &[(
            r"histogram_quantile(0.95, sum by (le) (rate(sso_revocation_everywhere_seconds_bucket[$__rate_interval])))",
            "19 of 20",
        )],
    },
    Panel {
        title: "Acknowledged",
        text: "By who obeyed then.",
        unit: Unit::PerSecond,
        queries: &[(
            r"sum by (reach) (rate(sso_revocation_answers_total[$__rate_interval]))",
            "{{reach}}",
        )],
    },
    Panel {
        title: "Watchers",
        text: "Open streams of services.",
        unit: Unit::Count,
        queries: &[(
            r"sum by (instance) (sso_revocation_watchers)",
            "{{instance}}",
        )],
    },
    Panel {
        title: "Streams ended",
        text: "By reason.",
        unit: Unit::PerSecond,
        queries: &[(
            r"sum by (reason) (rate(sso_revocation_watches_ended_total[$__rate_interval]))",
            "{{reason}}",
        )],
    },
    Panel {
        title: "Counted out",
        text: "Readers that were fenced, and entries written back after a failover.",
        unit: Unit::Count,
        queries: &[
            (
                r"sum(increase(sso_revocation_readers_fenced_total[10m]))",
                "fenced",
            ),
            (
                r"sum(increase(sso_revocation_written_back_total[10m]))",
                "written back",
            ),
        ],
    },
    Panel {
        title: "Age of the keys",
        text: "",
        unit: Unit::Seconds,
        queries: &[(r"max by (use) (sso_key_age_seconds)", "{{use}}")],
    },
    Panel {
        title: "Next rotation",
        text: "",
        unit: Unit::Seconds,
        queries: &[(r"min(sso_key_next_rotation_seconds)", "in")],
    },
];

const EVENTS: &[Panel] = &[
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
        title: "Consumed",
        text: "By service and outcome. Consumers only.",
        unit: Unit::PerSecond,
        queries: &[(
            r"sum by (job, outcome) (rate(sso_kafka_consumed_total[$__rate_interval]))",
            "{{job}} {{outcome}}",
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
];
