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
