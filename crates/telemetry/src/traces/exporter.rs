//! Sends finished spans to the collector, in batches.

use std::time::Duration;

use metrics::{Unit, counter, describe_counter};
use opentelemetry_otlp::{
    ExporterBuildError, Protocol as Otlp, SpanExporter, WithExportConfig as _,
};
use opentelemetry_sdk::{
    Resource,
    trace::{SpanData, SpanExporter as _},
};
use tokio::sync::mpsc::Receiver;

use super::{Protocol, Traces};

const SPANS: &str = "sso_trace_spans_total";

/// Most spans of one request to the collector.
const BATCH: usize = 512;
/// How long the first span of a batch waits for others.
const GATHER: Duration = Duration::from_millis(500);
/// Longest wait for the collector's answer.
const ANSWER: Duration = Duration::from_secs(3);
/// Where OTLP over HTTP takes spans (OTLP specification, OTLP/HTTP request).
const PATH: &str = "/v1/traces";

/// Describes the metric of the exporter and makes its series exist.
pub fn register_metrics() {
    describe_counter!(
        SPANS,
        Unit::Count,
        "Finished spans that were sampled: taken by the collector (exported), refused or not \
         answered by it (failed), or without room in the queue (dropped)."
    );
    for outcome in ["exported", "failed", "dropped"] {
        counter!(SPANS, "outcome" => outcome).absolute(0);
    }
}

pub(super) fn dropped(spans: u64) {
    counter!(SPANS, "outcome" => "dropped").increment(spans);
}

/// The end of the queue where spans go out.
#[derive(Debug)]
pub(super) struct Exporter {
    traces: Traces,
    resource: Resource,
    spans: Receiver<SpanData>,
}

impl Exporter {
    pub(super) const fn new(traces: Traces, resource: Resource, spans: Receiver<SpanData>) -> Self {
        Self {
            traces,
            resource,
            spans,
        }
    }

    /// Sends until the queue ends.
    pub(super) async fn run(mut self) {
        let mut client = match self.client() {
            Ok(client) => client,
            Err(error) => {
                tracing::error!(%error, "no traces are sent");
                return;
            }
        };
        client.set_resource(&self.resource);
        let mut away = false;
        loop {
            let mut batch = Vec::new();
            if self.spans.recv_many(&mut batch, BATCH).await == 0 {
                return;
            }
            self.gather(&mut batch).await;
            let count = batch.len() as u64;
            let sent = tokio::time::timeout(ANSWER, client.export(batch)).await;
            let failed = match sent {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(error.to_string()),
                Err(_elapsed) => Some("no answer in time".to_owned()),
            };
            let outcome = if failed.is_none() {
                "exported"
            } else {
                "failed"
            };
            counter!(SPANS, "outcome" => outcome).increment(count);
            match (&failed, away) {
                (Some(error), false) => {
                    tracing::warn!(error, "the collector takes no traces: they are dropped");
                }
                (None, true) => tracing::info!("the collector takes traces again"),
                _ => {}
            }
            away = failed.is_some();
        }
    }

    /// Waits a little for others to fill the batch.
    async fn gather(&mut self, batch: &mut Vec<SpanData>) {
        let full = async {
            while batch.len() < BATCH {
                if self.spans.recv_many(batch, BATCH - batch.len()).await == 0 {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout(GATHER, full).await;
    }

    fn client(&self) -> Result<SpanExporter, ExporterBuildError> {
        let endpoint = &self.traces.endpoint;
        match self.traces.protocol {
            Protocol::Grpc => SpanExporter::builder()
                .with_tonic()
                .with_endpoint(endpoint)
                .with_timeout(ANSWER)
                .build(),
            Protocol::HttpProtobuf => SpanExporter::builder()
                .with_http()
                .with_protocol(Otlp::HttpBinary)
                .with_endpoint(with_path(endpoint))
                .with_timeout(ANSWER)
                .build(),
        }
    }
}

/// The endpoint with the path of spans, unless it ends with that.
fn with_path(endpoint: &str) -> String {
    let bare = endpoint.trim_end_matches('/');
    if bare.ends_with(PATH) {
        bare.to_owned()
    } else {
        format!("{bare}{PATH}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_spans_is_added_once() {
        for endpoint in [
            "http://collector:4318",
            "http://collector:4318/",
            "http://collector:4318/v1/traces",
        ] {
            assert_eq!(with_path(endpoint), "http://collector:4318/v1/traces");
        }
    }
}
