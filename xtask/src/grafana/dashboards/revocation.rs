//! What was revoked, who obeys it, and the keys.

use super::super::{Panel, Unit};

pub(super) const PANELS: &[Panel] = &[
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
    Panel {
        title: "Redis",
        text: "1: a master is connected. Without it revocations take some beats longer. Redis only.",
        unit: Unit::Count,
        queries: &[(r"sso_redis_connected", "{{instance}}")],
    },
    Panel {
        title: "Given to the stream",
        text: "Revocations, by outcome; what is lost reaches others by their beats.",
        unit: Unit::PerSecond,
        queries: &[(
            r"sum by (outcome) (rate(sso_redis_appended_total[$__rate_interval]))",
            "{{outcome}}",
        )],
    },
    Panel {
        title: "Heard from the stream",
        text: "By outcome; refuted: the database knew no such revocation.",
        unit: Unit::PerSecond,
        queries: &[
            (
                r"sum by (outcome) (rate(sso_redis_received_total[$__rate_interval]))",
                "{{outcome}}",
            ),
            (
                r"sum(rate(sso_revocation_hints_refuted_total[$__rate_interval]))",
                "refuted",
            ),
        ],
    },
    Panel {
        title: "Connections to Redis",
        text: "Made, and changes of the master.",
        unit: Unit::Count,
        queries: &[
            (
                r"sum(increase(sso_redis_connections_total[10m]))",
                "connections",
            ),
            (
                r"sum(increase(sso_redis_master_changes_total[10m]))",
                "changes of the master",
            ),
        ],
    },
];
