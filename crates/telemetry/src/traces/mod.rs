//! Traces: spans of the `tracing` facade, sampled and sent by OTLP.
//!
//! A span of ours (by its target) becomes a span of OpenTelemetry; events do not, so
//! what is logged never leaves the machine this way. Whoever has no parent is sampled by ratio,
//! whoever has one does as it does (a parent-based ratio), and of a request that is not sampled no span is made.
//! Finished spans wait in a bounded queue;
//! what finds no room is dropped and counted, so a collector that is away costs nothing but its
//! spans.

pub mod context;
mod exporter;
mod queue;
mod sampling;

use std::time::Duration;

use opentelemetry::{KeyValue, trace::TracerProvider as _};
use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};
use tracing_subscriber::{Layer, Registry};

use self::exporter::Exporter;
pub use self::exporter::register_metrics;

/// How long a process waits at its end for the collector to take what is left.
const FLUSH: Duration = Duration::from_secs(3);

/// Where spans are sent, and which.
#[derive(Debug, Clone, PartialEq)]
pub struct Traces {
    /// The collector: `http://host:4317` for gRPC, `http://host:4318` for HTTP.
    pub endpoint: String,
    /// How it is spoken to.
    pub protocol: Protocol,
    /// The share of traces that are sampled, from 0 to 1, of those that begin here.
    pub ratio: f64,
    /// `service.name` of all spans.
    pub service: String,
    /// `service.version` of all spans.
    pub version: &'static str,
}

/// How a collector is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// OTLP over gRPC.
    Grpc,
    /// OTLP over HTTP, binary protobuf.
    HttpProtobuf,
}

/// What becomes of the spans: to be [started](Self::start) in the runtime, and
/// [ended](Self::end) there.
#[derive(Debug)]
pub struct Tracing {
    provider: Option<SdkTracerProvider>,
    waiting: Option<Exporter>,
    running: Option<tokio::task::JoinHandle<()>>,
}

impl Tracing {
    /// Without a collector: nothing happens.
    pub(crate) const fn off() -> Self {
        Self {
            provider: None,
            waiting: None,
            running: None,
        }
    }

    /// Begins to send. Call it in the runtime; spans of before wait in the queue.
    pub fn start(&mut self) {
        if let Some(exporter) = self.waiting.take() {
            self.running = Some(tokio::spawn(exporter.run()));
        }
    }

    /// Sends what is left, for three seconds at most.
    pub async fn end(mut self) {
        // The queue ends with the provider; shutting it down twice or never begun is no fault.
        if let Some(provider) = self.provider.take() {
            let _ = provider.shutdown();
        }
        if let Some(mut running) = self.running.take()
            && tokio::time::timeout(FLUSH, &mut running).await.is_err()
        {
            running.abort();
            tracing::warn!("the collector did not take the last spans in time");
        }
    }
}

pub(crate) type SpanLayer = Box<dyn Layer<Registry> + Send + Sync>;

/// The layer that makes spans, and what sends them.
pub(crate) fn layer(traces: &Traces) -> (SpanLayer, Tracing) {
    let resource = Resource::builder_empty()
        .with_attributes([
            KeyValue::new("service.name", traces.service.clone()),
            KeyValue::new("service.version", traces.version),
        ])
        .build();
    let (queue, spans) = queue::bounded();
    let provider = SdkTracerProvider::builder()
        .with_span_processor(queue)
        .with_sampler(sampling::Settling::of(traces.ratio))
        .with_resource(resource.clone())
        .build();
    let layer = tracing_opentelemetry::layer()
        .with_tracer(provider.tracer("sso"))
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_tracked_inactivity(false)
        // Parents are found by `tracing`'s own spans: nobody here asks for OpenTelemetry's context of
        // the thread, which would be set and reset whenever a future is polled.
        .with_context_activation(false)
        .with_filter(sampling::Sampled::of(traces.ratio));
    let tracing = Tracing {
        provider: Some(provider),
        waiting: Some(Exporter::new(traces.clone(), resource, spans)),
        running: None,
    };
    (layer.boxed(), tracing)
}
