//! What is shown: figures of an interval, in sections.

use super::{
    format::{bytes, count, rate, seconds},
    page::{Interval, Labels},
};

/// A table with a title.
#[derive(Debug)]
pub(super) struct Section {
    pub(super) title: &'static str,
    /// The headings after the title.
    pub(super) columns: &'static [&'static str],
    pub(super) rows: Vec<Row>,
}

/// A line of a table.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) name: String,
    /// One for each heading, or one with a table of none.
    pub(super) cells: Vec<String>,
    /// Whether somebody should look at it.
    pub(super) warns: bool,
}

impl Row {
    fn new(name: impl Into<String>, cells: impl Into<Vec<String>>) -> Self {
        Self {
            name: name.into(),
            cells: cells.into(),
            warns: false,
        }
    }

    const fn warns(mut self, if_so: bool) -> Self {
        self.warns = if_so;
        self
    }
}

/// Codes of rpcs that we are to blame for (docs/slo.md).
const OUR_FAULT: [&str; 5] = [
    "UNKNOWN",
    "DEADLINE_EXCEEDED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
];

/// What people and services do.
pub(super) fn traffic(interval: Interval<'_>) -> Vec<Section> {
    let http = Requests {
        count: "sso_http_requests_total",
        duration: "sso_http_request_duration_seconds",
        label: "route",
        quantiles: (0.5, 0.95),
    };
    let rpcs = Requests {
        count: "sso_grpc_requests_total",
        duration: "sso_grpc_request_duration_seconds",
        label: "method",
        quantiles: (0.5, 0.99),
    };
    let faults = |code: &str| code.starts_with('5') || OUR_FAULT.contains(&code);
    vec![
        Section {
            title: "HTTP",
            columns: &["/s", "failed/s", "half", "95 %"],
            rows: http.rows(interval, faults),
        },
        Section {
            title: "Calls",
            columns: &["/s", "failed/s", "half", "99 %"],
            rows: rpcs.rows(interval, faults),
        },
        Section {
            title: "People",
            columns: &["/s"],
            rows: people(interval),
        },
    ]
}

/// What waits, and what the instance stands on.
pub(super) fn insides(interval: Interval<'_>) -> Vec<Section> {
    let section = |title, columns, rows| Section {
        title,
        columns,
        rows,
    };
    let mut sections = vec![
        section(
            "Hashing",
            &["waiting", "refused/s", "95 % waited"],
            queues(interval),
        ),
        section("Events", &[""], events(interval)),
        section("Revocations", &[""], revocations(interval)),
        section("Database", &[""], database(interval)),
        section("Process", &[""], process(interval)),
    ];
    sections.retain(|section| !section.rows.is_empty());
    sections
}

/// Whether access tokens are accepted, and for how long that is certain.
pub(super) fn trust(interval: Interval<'_>) -> (String, bool) {
    let trusted = interval.now.value("sso_revocation_trusted", &[]) == Some(1.0);
    let lease = seconds(interval.now.value("sso_revocation_lease_seconds", &[]));
    if trusted {
        (format!("tokens are validated, lease {lease}"), true)
    } else {
        (
            "NO TOKEN IS ACCEPTED: what is revoked is not known".to_owned(),
            false,
        )
    }
}

/// A counter by what was asked for and by code, and the time that it took.
struct Requests {
    count: &'static str,
    duration: &'static str,
    label: &'static str,
    quantiles: (f64, f64),
}

impl Requests {
    /// Those that were asked for, the most frequent first.
    fn rows(&self, interval: Interval<'_>, is_fault: impl Fn(&str) -> bool) -> Vec<Row> {
        let codes = interval.now.values(self.count, "code");
        let mut rows: Vec<(f64, Row)> = (interval.now.values(self.count, self.label).iter())
            .filter_map(|value| {
                let all = interval.rate(self.count, &[(self.label, value.as_str())]);
                let by_code = |code: &String| {
                    interval.rate(
                        self.count,
                        &[(self.label, value.as_str()), ("code", code.as_str())],
                    )
                };
                let faults = codes.iter().filter(|code| is_fault(code));
                let failed: f64 = faults.map(by_code).sum();
                let quantile = |q| {
                    seconds(interval.quantile(q, self.duration, &[(self.label, value.as_str())]))
                };
                let (half, most) = self.quantiles;
                let cells = [rate(all), rate(failed), quantile(half), quantile(most)];
                (all > 0.0).then(|| (all, Row::new(value.as_str(), cells).warns(failed > 0.0)))
            })
            .collect();
        rows.sort_by(|(a, _), (b, _)| b.total_cmp(a));
        if rows.is_empty() {
            return vec![Row::new("nothing was asked", [])];
        }
        rows.into_iter().map(|(_, row)| row).collect()
    }
}

/// Rates of a counter by a label; of no rate only what `always` names.
fn rates(interval: Interval<'_>, what: &str, name: &str, label: &str, always: &str) -> Vec<Row> {
    (interval.now.values(name, label).iter())
        .filter_map(|value| {
            let rose = interval.rate(name, &[(label, value.as_str())]);
            let row = || Row::new(format!("{what}, {}", value.replace('_', " ")), [rate(rose)]);
            (rose > 0.0 || value == always).then(row)
        })
        .collect()
}

fn people(interval: Interval<'_>) -> Vec<Row> {
    let mut rows = rates(interval, "login", "sso_logins_total", "outcome", "success");
    rows.extend(rates(
        interval,
        "registration",
        "sso_registrations_total",
        "outcome",
        "success",
    ));
    rows.extend(rates(
        interval,
        "throttled",
        "sso_throttled_total",
        "reason",
        "",
    ));
    let reused = interval.rate("sso_refresh_reuse_total", &[]);
    rows.push(Row::new("refresh tokens used twice", [rate(reused)]).warns(reused > 0.0));
    rows
}

fn queues(interval: Interval<'_>) -> Vec<Row> {
    let mut rows: Vec<Row> = (interval.now.values("sso_hash_queue_depth", "queue").iter())
        .map(|queue| {
            let labels: Labels<'_> = &[("queue", queue.as_str())];
            let refused = interval.rate("sso_hash_refused_total", labels);
            let waited = interval.quantile(0.95, "sso_hash_wait_seconds", labels);
            let cells = [
                count(interval.now.value("sso_hash_queue_depth", labels)),
                rate(refused),
                seconds(waited),
            ];
            Row::new(queue.as_str(), cells).warns(refused > 0.0)
        })
        .collect();
    let algorithms = interval
        .now
        .values("sso_hash_duration_seconds_count", "algorithm");
    rows.extend(algorithms.iter().filter_map(|algorithm| {
        let labels: Labels<'_> = &[("algorithm", algorithm.as_str())];
        let mean = interval.mean("sso_hash_duration_seconds", labels)?;
        let hashes = rate(interval.rate("sso_hash_duration_seconds_count", labels));
        let cells = [
            format!("{hashes}/s"),
            "each".to_owned(),
            seconds(Some(mean)),
        ];
        Some(Row::new(algorithm.as_str(), cells))
    }));
    rows
}

fn events(interval: Interval<'_>) -> Vec<Row> {
    let page = &interval.now;
    let backlog = |status| page.value("sso_outbox_backlog", &[("status", status)]);
    let oldest = page.value("sso_outbox_oldest_seconds", &[]);
    let failed = backlog("Failed");
    let mut rows = vec![
        Row::new("wait in the outbox", [count(backlog("inProgress"))]),
        Row::new("the oldest waits for", [seconds(oldest)])
            .warns(oldest.is_some_and(|oldest| oldest > 300.0)),
        Row::new("failed for good", [count(failed)])
            .warns(failed.is_some_and(|failed| failed > 0.0)),
        Row::new(
            "shards of 8 delivered here",
            [count(page.value("sso_outbox_shards", &[]))],
        ),
    ];
    rows.extend(rates(
        interval,
        "Kafka/s",
        "sso_kafka_sends_total",
        "outcome",
        "",
    ));
    rows
}

fn revocations(interval: Interval<'_>) -> Vec<Row> {
    let page = &interval.now;
    let everywhere = interval.quantile(0.95, "sso_revocation_everywhere_seconds", &[]);
    let mut rows = vec![
        Row::new(
            "entries that matter",
            [count(page.value("sso_revocation_entries", &[]))],
        ),
        Row::new(
            "last beat was",
            [seconds(page.value("sso_revocation_beat_age_seconds", &[]))],
        ),
        Row::new(
            "acknowledged/s",
            [rate(interval.rate("sso_revocation_answers_total", &[]))],
        ),
        Row::new("95 % everywhere after", [seconds(everywhere)]),
        Row::new(
            "watchers",
            [count(page.value("sso_revocation_watchers", &[]))],
        ),
    ];
    if let Some(connected) = page.value("sso_redis_connected", &[]) {
        let connected = connected > 0.0;
        let state = if connected { "connected" } else { "away" };
        rows.push(Row::new("Redis", [state.to_owned()]).warns(!connected));
    }
    rows
}

fn database(interval: Interval<'_>) -> Vec<Row> {
    let page = &interval.now;
    let mut rows = rates(
        interval,
        "reads/s",
        "sso_store_reads_total",
        "role",
        "primary",
    );
    let statement = "sso_store_statement_duration_seconds";
    let statements = interval.rate(&format!("{statement}_count"), &[]);
    rows.push(Row::new("statements/s", [rate(statements)]));
    let slow = seconds(interval.quantile(0.95, statement, &[]));
    rows.push(Row::new("95 % of statements", [slow]));
    if let Some(timeline) = page.value("sso_store_timeline", &[]) {
        rows.push(
            Row::new("timeline of the primary", [count(Some(timeline))]).warns(timeline == 0.0),
        );
        let waiting = page.value("sso_store_waiting", &[]);
        rows.push(Row::new("wait for a connection", [count(waiting)]).warns(waiting > Some(10.0)));
    }
    for replica in page.values("sso_store_replica_lag_seconds", "replica") {
        let lag = page.value(
            "sso_store_replica_lag_seconds",
            &[("replica", replica.as_str())],
        );
        rows.push(Row::new(format!("lag of {replica}"), [seconds(lag)]).warns(lag > Some(10.0)));
    }
    rows
}

fn process(interval: Interval<'_>) -> Vec<Row> {
    let page = &interval.now;
    let files = page.value("process_open_fds", &[]);
    let limit = page.value("process_max_fds", &[]);
    let many = files
        .zip(limit)
        .is_some_and(|(files, limit)| files > 0.8 * limit);
    let cores = interval.rate("process_cpu_seconds_total", &[]);
    let dropped = interval.rate("sso_connections_dropped_total", &[]);
    let files = format!("{} of {}", count(files), count(limit));
    let mut rows = vec![
        Row::new("cores in use", [format!("{cores:.2}")]),
        Row::new(
            "memory",
            [bytes(page.value("process_resident_memory_bytes", &[]))],
        ),
        Row::new("open files", [files]).warns(many),
        Row::new("connections dropped/s", [rate(dropped)]),
    ];
    rows.extend(rates(
        interval,
        "spans/s",
        "sso_trace_spans_total",
        "outcome",
        "",
    ));
    rows
}
