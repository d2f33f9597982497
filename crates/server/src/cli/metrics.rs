//! `sso metrics`: docs/metrics.md, from what the code says of its own metrics.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::{self, Write},
    sync::{Mutex, PoisonError},
};

use metrics::{
    Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit,
    with_local_recorder,
};

use super::output;
use crate::{
    exit::{Exit, Failed},
    serve,
};

const HEAD: &str = "\
# Metrics

Generated from the code by `cargo xtask gen`; do not edit. `/metrics` of the admin listener renders
these in Prometheus' text format, or in OpenMetrics for who asks for that. Every label has a bounded
set of values: users, addresses and paths are never part of one. In OpenMetrics the buckets of
`sso_http_request_duration_seconds` and `sso_grpc_request_duration_seconds` have exemplars with the
`trace_id` of a sampled request. PostgreSQL's are there with PostgreSQL only.

| name | type | unit | labels | meaning |
|---|---|---|---|---|
";

/// Prints the document.
pub(super) fn run() -> Result<Exit, Failed> {
    let catalogue = Catalogue::default();
    with_local_recorder(&catalogue, || {
        serve::register_metrics();
        wiring_example();
        serve::certificates::register_example();
    });
    let mut document = HEAD.to_owned();
    let written = catalogue.write(&mut document);
    written.map_err(|error| Failed::from_error(Exit::Failure, &error))?;
    output::print_document(document.trim_end());
    Ok(Exit::Success)
}

/// What is registered when servers are known.
fn wiring_example() {
    sso_store_postgres::servers::register_metrics([("db.example.com:5432", true)].into_iter());
}

/// What is said of each metric.
#[derive(Debug, Default)]
struct Catalogue(Mutex<BTreeMap<String, Entry>>);

#[derive(Debug, Default)]
struct Entry {
    kind: &'static str,
    unit: Option<Unit>,
    text: String,
    labels: BTreeSet<String>,
}

impl Catalogue {
    fn describe(&self, name: &KeyName, kind: &'static str, unit: Option<Unit>, text: &str) {
        self.with(name.as_str(), |entry| {
            entry.kind = kind;
            entry.unit = unit;
            text.clone_into(&mut entry.text);
        });
    }

    fn register(&self, key: &Key) {
        self.with(key.name(), |entry| {
            entry
                .labels
                .extend(key.labels().map(|label| label.key().to_owned()));
        });
    }

    fn with(&self, name: &str, change: impl FnOnce(&mut Entry)) {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(entries.entry(name.to_owned()).or_default());
    }

    fn write(&self, document: &mut String) -> fmt::Result {
        let entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, entry) in &*entries {
            let labels: Vec<String> = entry.labels.iter().map(|l| format!("`{l}`")).collect();
            writeln!(
                document,
                "| `{name}` | {} | {} | {} | {} |",
                entry.kind,
                entry.unit.map_or("", unit_of),
                labels.join(", "),
                entry.text,
            )?;
        }
        document.push('\n');
        for (name, kind, text) in sso_telemetry::process_metrics() {
            writeln!(document, "- `{name}` ({kind}): {text}")?;
        }
        Ok(())
    }
}

fn unit_of(unit: Unit) -> &'static str {
    match unit {
        Unit::Count => "",
        other => other.as_str(),
    }
}

impl Recorder for Catalogue {
    fn describe_counter(&self, key: KeyName, unit: Option<Unit>, text: SharedString) {
        self.describe(&key, "counter", unit, &text);
    }

    fn describe_gauge(&self, key: KeyName, unit: Option<Unit>, text: SharedString) {
        self.describe(&key, "gauge", unit, &text);
    }

    fn describe_histogram(&self, key: KeyName, unit: Option<Unit>, text: SharedString) {
        self.describe(&key, "histogram", unit, &text);
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        self.register(key);
        Counter::noop()
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        self.register(key);
        Gauge::noop()
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        self.register(key);
        Histogram::noop()
    }
}
