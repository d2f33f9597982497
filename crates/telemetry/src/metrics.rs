//! Metrics, rendered as Prometheus or another scraper wants them.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use metrics::{describe_gauge, gauge};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use crate::{
    exposition::{Exposition, openmetrics},
    lossy,
    process::Process,
    statements, traces,
};

/// Upper bounds in seconds of the histograms whose names end in `_seconds`: from a validation
/// (microseconds) over a password hash (tens of milliseconds) to the longest deadline.
pub(crate) const SECONDS: [f64; 14] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];
/// Which build this is: always 1.
const BUILD_INFO: &str = "sso_build_info";

static INSTALLED: Mutex<Option<Metrics>> = Mutex::new(None);

/// What the `metrics` facade has counted in this process.
#[derive(Debug, Clone)]
pub struct Metrics(PrometheusHandle);

impl Metrics {
    /// How often to call [`run_upkeep`](Self::run_upkeep).
    pub const UPKEEP: Duration = Duration::from_secs(5);

    /// Makes the `metrics` facade count here, for the whole process. A second call answers what the
    /// first one made.
    pub fn install() -> Result<Self, MetricsError> {
        let mut installed = INSTALLED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(metrics) = &*installed {
            return Ok(metrics.clone());
        }
        let handle = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)
            .and_then(PrometheusBuilder::install_recorder)
            .map_err(|_| MetricsError)?;
        register_build();
        Ok(installed.insert(Self(handle)).clone())
    }

    /// All series, those of the process included, as they are now, in the text format. Blocks for
    /// well under a millisecond.
    pub fn render(&self) -> String {
        self.render_as(Exposition::Text)
    }

    /// The same in this format.
    pub fn render_as(&self, exposition: Exposition) -> String {
        let mut text = self.0.render();
        let end = text.len();
        if Process::read().render(&mut text).is_err() {
            // Writing to a string does not fail; should it, half a line must not stay.
            text.truncate(end);
        }
        match exposition {
            Exposition::Text => text,
            Exposition::OpenMetrics => openmetrics(&text),
        }
    }

    /// Moves observations into the histograms' buckets. Without it they pile up in memory between
    /// two scrapes. Also says in the log if lines of it are missing.
    pub fn run_upkeep(&self) {
        self.0.run_upkeep();
        lossy::tell();
    }
}

/// Describes the metrics of this crate and makes their series exist.
pub fn register_metrics() {
    register_build();
    lossy::register_metrics();
    traces::register_metrics();
    statements::register_metrics();
}

fn register_build() {
    describe_gauge!(BUILD_INFO, "The build that runs: always 1.");
    gauge!(BUILD_INFO, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
}

/// Another recorder was installed before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("another recorder of metrics is installed in this process")]
pub struct MetricsError;

#[cfg(test)]
mod tests {
    use metrics::{counter, histogram};

    use super::*;

    #[test]
    fn what_is_counted_is_rendered_with_the_process_and_the_build() {
        let metrics = Metrics::install().unwrap();
        counter!("test_total", "outcome" => "a\"b\n\\").increment(2);
        histogram!("test_duration_seconds").record(0.02);
        metrics.run_upkeep();
        let text = Metrics::install().unwrap().render();
        let version = env!("CARGO_PKG_VERSION");
        for line in [
            "# TYPE test_total counter",
            "test_total{outcome=\"a\\\"b\\n\\\\\"} 2",
            "# TYPE test_duration_seconds histogram",
            "test_duration_seconds_bucket{le=\"0.01\"} 0",
            "test_duration_seconds_bucket{le=\"0.025\"} 1",
            "test_duration_seconds_bucket{le=\"+Inf\"} 1",
            "test_duration_seconds_count 1",
            &format!("sso_build_info{{version=\"{version}\"}} 1"),
            "# TYPE process_resident_memory_bytes gauge",
            "# TYPE process_cpu_seconds_total counter",
            "# TYPE process_start_time_seconds gauge",
            "# TYPE process_open_fds gauge",
            "# TYPE process_max_fds gauge",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} in\n{text}");
        }
        assert_eq!(text.matches("_bucket{").count(), SECONDS.len() + 1);
    }
}
