//! The database and its replicas.

use super::super::{Panel, Unit};

pub(super) const PANELS: &[Panel] = &[
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
            r#"sum by (operation, table) (rate(sso_store_statement_duration_seconds_count{job="sso"}[$__rate_interval]))"#,
            "{{operation}} {{table}}",
        )],
    },
    Panel {
        title: "Latency of statements",
        text: "95th percentile by family.",
        unit: Unit::Seconds,
        queries: &[(
            r#"histogram_quantile(0.95, sum by (operation, table, le) (rate(sso_store_statement_duration_seconds_bucket{job="sso"}[$__rate_interval])))"#,
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
