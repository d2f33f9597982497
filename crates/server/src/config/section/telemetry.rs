//! Traces.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sso_telemetry::{Protocol, Traces};

use crate::config::{
    telemetry::{Collector, ServiceName},
    values::{Text, text},
};

/// Traces, sent by OTLP. A collector that is away costs nothing but the traces: they wait in a bounded
/// queue and are then dropped and counted (`sso_trace_spans_total`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Telemetry {
    /// The collector. Without one no traces are made.
    #[schemars(with = "Option<Text<Collector>>")]
    pub(crate) otlp_endpoint: Option<Collector>,
    /// How it is spoken to.
    pub(crate) otlp_protocol: OtlpProtocol,
    /// The share of the traces that begin here which are sampled: 1 is all of them, 0 none. A request
    /// of a service whose own trace is sampled is always sampled.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub(crate) trace_ratio: f64,
    /// `service.name` of the spans.
    #[serde(with = "text")]
    #[schemars(with = "Text<ServiceName>")]
    pub(crate) service_name: ServiceName,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self {
            otlp_endpoint: None,
            otlp_protocol: OtlpProtocol::default(),
            trace_ratio: 0.01,
            service_name: ServiceName::default(),
        }
    }
}

impl Telemetry {
    /// What the spans are to be made for, if they are.
    pub(crate) fn traces(&self) -> Option<Traces> {
        self.otlp_endpoint.as_ref().map(|endpoint| Traces {
            endpoint: endpoint.as_str().to_owned(),
            protocol: match self.otlp_protocol {
                OtlpProtocol::Grpc => Protocol::Grpc,
                OtlpProtocol::HttpProtobuf => Protocol::HttpProtobuf,
            },
            ratio: self.trace_ratio,
            service: self.service_name.as_str().to_owned(),
            version: env!("CARGO_PKG_VERSION"),
        })
    }
}

/// How a collector is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum OtlpProtocol {
    /// OTLP over gRPC, by custom on port 4317.
    #[default]
    Grpc,
    /// OTLP over HTTP, by custom on port 4318; without TLS only.
    HttpProtobuf,
}
