//! The list of a program's metrics, from what its code says of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    sync::{Mutex, PoisonError},
};

use metrics::{
    Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit,
    with_local_recorder,
};

use crate::process::Process;

const HEAD: &str = "\
| name | type | unit | labels | meaning |
|---|---|---|---|---|
";

/// A table in Markdown of the metrics that `register` describes, with the labels of the series that it
/// makes exist, and of those of the process.
pub fn metrics_table(register: impl FnOnce()) -> Result<String, Undescribed> {
    let catalogue = Catalogue::default();
    with_local_recorder(&catalogue, register);
    for (name, kind, unit, text) in Process::FIGURES {
        catalogue.describe(name, kind, unit, text);
    }
    catalogue.table()
}

/// These metrics are counted, and nobody says what they mean.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not described: {}", .0.join(", "))]
pub struct Undescribed(Vec<String>);

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
    fn describe(&self, name: &str, kind: &'static str, unit: Option<Unit>, text: &str) {
        self.with(name, |entry| {
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

    fn table(self) -> Result<String, Undescribed> {
        let entries = self.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut table = HEAD.to_owned();
        let mut undescribed = Vec::new();
        for (name, entry) in entries {
            let labels: Vec<String> = entry.labels.iter().map(|l| format!("`{l}`")).collect();
            // Writing to a string does not fail.
            let _ = writeln!(
                table,
                "| `{name}` | {} | {} | {} | {} |",
                entry.kind,
                entry.unit.map_or("", unit_of),
                labels.join(", "),
                entry.text,
            );
            if entry.text.is_empty() {
                undescribed.push(name);
            }
        }
        if undescribed.is_empty() {
            Ok(table)
        } else {
            Err(Undescribed(undescribed))
        }
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
        self.describe(key.as_str(), "counter", unit, &text);
    }

    fn describe_gauge(&self, key: KeyName, unit: Option<Unit>, text: SharedString) {
        self.describe(key.as_str(), "gauge", unit, &text);
    }

    fn describe_histogram(&self, key: KeyName, unit: Option<Unit>, text: SharedString) {
        self.describe(key.as_str(), "histogram", unit, &text);
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

#[cfg(test)]
mod tests {
    use metrics::{counter, describe_counter, describe_histogram};

    use super::*;

    #[test]
    fn what_is_described_is_listed_with_its_labels_beside_the_process() {
        let table = metrics_table(|| {
            describe_counter!("b_total", Unit::Count, "Cups.");
            describe_histogram!("a_seconds", Unit::Seconds, "Time of a cup.");
            counter!("b_total", "size" => "big").absolute(0);
            counter!("b_total", "size" => "small", "kind" => "tea").absolute(0);
        });
        let table = table.unwrap();
        let ours = "\
            | `a_seconds` | histogram | seconds |  | Time of a cup. |\n\
            | `b_total` | counter |  | `kind`, `size` | Cups. |\n";
        assert!(table.starts_with(&format!("{HEAD}{ours}")), "{table}");
        let memory = "| `process_resident_memory_bytes` | gauge | bytes |  | ";
        assert!(table.contains(memory), "{table}");
    }

    #[test]
    fn what_nobody_describes_is_an_error() {
        let table = metrics_table(|| counter!("b_total").absolute(0));
        assert_eq!(table, Err(Undescribed(vec!["b_total".to_owned()])));
    }
}
