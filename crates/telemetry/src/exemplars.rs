//! Exemplars: for a bucket of a histogram the newest observation whose trace is sampled, so that one
//! finds from a slow bucket to a request that was slow.
//!
//! They are rendered in [OpenMetrics](crate::Exposition::OpenMetrics) only; the text format has none.
//! There are as many as buckets of the series that are observed here, whoever comes.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{metrics::SECONDS, traces::context::TraceId};

/// By the series of the bucket as it is rendered: `name_bucket{label="value",le="0.5"}`.
static NEWEST: Mutex<BTreeMap<String, Exemplar>> = Mutex::new(BTreeMap::new());

/// An observation with its trace.
#[derive(Debug, Clone, PartialEq)]
struct Exemplar {
    trace_id: String,
    seconds: f64,
}

/// Notes what a histogram observed in this trace. `labels` are those of the histogram in their order,
/// with values that need no escapes; the histogram's name ends in `_seconds`.
pub fn observed(histogram: &str, labels: &[(&str, &str)], took: Duration, trace: TraceId) {
    note(histogram, labels, took.as_secs_f64(), trace.to_string());
}

fn note(histogram: &str, labels: &[(&str, &str)], seconds: f64, trace_id: String) {
    let mut bucket = format!("{histogram}_bucket{{");
    for (name, value) in labels {
        // Writing to a string does not fail, here and below.
        let _ = write!(bucket, "{name}=\"{value}\",");
    }
    let _ = match SECONDS.iter().find(|bound| seconds <= **bound) {
        Some(bound) => write!(bucket, "le=\"{bound}\"}}"),
        None => write!(bucket, "le=\"+Inf\"}}"),
    };
    newest().insert(bucket, Exemplar { trace_id, seconds });
}

/// What follows the sample of this series, if it has an exemplar: ` # {trace_id="…"} 0.3`.
pub(crate) fn of(series: &str) -> Option<String> {
    let newest = newest();
    let Exemplar { trace_id, seconds } = newest.get(series)?;
    Some(format!(" # {{trace_id=\"{trace_id}\"}} {seconds}"))
}

fn newest() -> MutexGuard<'static, BTreeMap<String, Exemplar>> {
    NEWEST.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_observation_of_a_bucket_is_its_exemplar() {
        let labels = [("route", "/a"), ("method", "GET")];
        let trace = |digit: &str| digit.repeat(32);
        note("exemplar_seconds", &labels, 0.02, trace("1"));
        note("exemplar_seconds", &labels, 0.025, trace("2"));
        note("exemplar_seconds", &labels, 1.0, trace("3"));
        note("exemplar_seconds", &[], 99.0, trace("4"));
        let found = |series| of(series).unwrap();
        let bucket = r#"exemplar_seconds_bucket{route="/a",method="GET",le="0.025"}"#;
        assert_eq!(
            found(bucket),
            format!(" # {{trace_id=\"{}\"}} 0.025", trace("2"))
        );
        let bucket = r#"exemplar_seconds_bucket{route="/a",method="GET",le="1"}"#;
        assert_eq!(
            found(bucket),
            format!(" # {{trace_id=\"{}\"}} 1", trace("3"))
        );
        let bucket = r#"exemplar_seconds_bucket{le="+Inf"}"#;
        assert_eq!(
            found(bucket),
            format!(" # {{trace_id=\"{}\"}} 99", trace("4"))
        );
        assert_eq!(of(r#"exemplar_seconds_bucket{le="0.5"}"#), None);
    }
}
