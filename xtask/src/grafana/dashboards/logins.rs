//! Who signs in, and what his password costs.

use super::super::{Panel, Unit};

pub(super) const PANELS: &[Panel] = &[
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
    Panel {
        title: "Attempts",
        text: "By where they were counted: together in Redis, or by each instance.",
        unit: Unit::PerSecond,
        queries: &[(
            r"sum by (place) (rate(sso_throttle_attempts_total[$__rate_interval]))",
            "{{place}}",
        )],
    },
    Panel {
        title: "Counted together",
        text: "1: failed logins of all instances, 0: each counts alone.",
        unit: Unit::Count,
        queries: &[(r"min by (instance) (sso_throttle_shared)", "{{instance}}")],
    },
];
