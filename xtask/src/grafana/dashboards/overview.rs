//! The golden signals: traffic, errors, latency, saturation.

use super::super::{Panel, Unit};

pub(super) const PANELS: &[Panel] = &[
    Panel {
        title: "HTTP requests",
        text: "Traffic by route.",
        unit: Unit::PerSecond,
        queries: &[(
            r#"sum by (route) (rate(sso_http_requests_total{job="sso"}[$__rate_interval]))"#,
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
            (r"sso:errors:ratio_rate6h", "6 hours"),
            (r"sso:errors:ratio_rate1d", "1 day"),
            (r"sso:errors:ratio_rate3d", "3 days"),
        ],
    },
    Panel {
        title: "HTTP latency",
        text: "95th percentile by route.",
        unit: Unit::Seconds,
        queries: &[(
            r#"histogram_quantile(0.95, sum by (route, le) (rate(sso_http_request_duration_seconds_bucket{job="sso"}[$__rate_interval])))"#,
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
            r#"sum by (code) (rate(sso_http_requests_total{job="sso"}[$__rate_interval]))"#,
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
        title: "Passwords that wait",
        text: "For the hashing pool: some in a rush, else 0. More for minutes: too few cores for those who \
               come; they wait longer, then get 503.",
        unit: Unit::Count,
        queries: &[(r"sum by (instance) (sso_hash_queue_depth)", "{{instance}}")],
    },
    Panel {
        title: "Callers of the primary that wait",
        text: "For a connection of the pool: 0, or a few for a moment. More: statements are slow, or the \
               pool is too small; they get 503 in the end. PostgreSQL only.",
        unit: Unit::Count,
        queries: &[(r"sum by (instance) (sso_store_waiting)", "{{instance}}")],
    },
    Panel {
        title: "Events that wait",
        text: "Age of the oldest in the outbox: some seconds at most. Rising: Kafka does not take them, or \
               nobody delivers; they are not lost.",
        unit: Unit::Seconds,
        queries: &[(r"max(sso_outbox_oldest_seconds)", "the oldest")],
    },
    Panel {
        title: "Trust left",
        text: "For how long an instance goes on without its database: nearly revocation.lease. Falling: its \
               beats fail; at 0 it accepts no token.",
        unit: Unit::Seconds,
        queries: &[(
            r"min by (instance) (sso_revocation_lease_seconds)",
            "{{instance}}",
        )],
    },
    Panel {
        title: "Certificates",
        text: "Time until they end, by listener; without TLS infinite. Below a week: it was not renewed.",
        unit: Unit::Seconds,
        queries: &[(
            r#"min by (listener) (sso_tls_certificate_expiry_seconds > 0) - time() or on() label_replace(vector(Inf), "listener", "no TLS", "", "")"#,
            "{{listener}}",
        )],
    },
    Panel {
        title: "Log lines dropped",
        text: "In 10 minutes: 0. Above: whoever reads standard error hangs, and what happens then is not in \
               the log.",
        unit: Unit::Count,
        queries: &[(
            r"sum by (job) (increase(sso_log_lines_dropped_total[10m]))",
            "{{job}}",
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
