//! The section that says where traces go.

use std::{fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sso_telemetry::{Protocol, Traces};
use url::Url;

use crate::{
    Rules,
    values::{Misshapen, Shape, Text, text},
};

/// Longest URL in bytes.
const MAX_URL: usize = 2048;

/// Traces, sent by OTLP. A collector that is away costs nothing but the traces: they wait in a bounded
/// queue and are then dropped and counted (`sso_trace_spans_total`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Telemetry {
    /// The collector. Without one no traces are made.
    #[schemars(with = "Option<Text<Collector>>")]
    pub otlp_endpoint: Option<Collector>,
    /// How it is spoken to.
    pub otlp_protocol: OtlpProtocol,
    /// The share of the traces that begin here which are sampled: 1 is all of them, 0 none. A request
    /// of a service whose own trace is sampled is always sampled.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub trace_ratio: f64,
    /// `service.name` of the spans.
    #[serde(with = "text")]
    #[schemars(with = "Text<ServiceName>")]
    pub service_name: ServiceName,
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
    /// The defaults, by this name.
    pub fn named(program: &str) -> Self {
        Self {
            service_name: ServiceName(program.to_owned()),
            ..Self::default()
        }
    }

    /// Says which rules of this section are broken.
    pub fn validate(&self, rules: &mut Rules<'_>) {
        let https = self.otlp_endpoint.as_ref().is_some_and(Collector::is_https);
        if https && self.otlp_protocol == OtlpProtocol::HttpProtobuf {
            let text = "is an https URL, which needs telemetry.otlp_protocol = \"grpc\": OTLP over \
                        HTTP is sent without TLS";
            rules.broken(
                "telemetry.otlp_endpoint",
                &["telemetry.otlp_protocol"],
                text,
            );
        }
    }

    /// What the spans are to be made for, if they are.
    pub fn traces(&self) -> Option<Traces> {
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
pub enum OtlpProtocol {
    /// OTLP over gRPC, by custom on port 4317.
    #[default]
    Grpc,
    /// OTLP over HTTP, by custom on port 4318; without TLS only.
    HttpProtobuf,
}

/// The URL of a collector of traces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collector(String);

impl Collector {
    /// The URL.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn is_https(&self) -> bool {
        self.0.starts_with("https://")
    }
}

impl Shape for Collector {
    const SHAPE: &str = "an http or https URL without credentials, query and fragment, such as \
                         http://collector.example.com:4317";
}

impl FromStr for Collector {
    type Err = Misshapen;

    fn from_str(text: &str) -> Result<Self, Misshapen> {
        let url = Url::parse(text).map_err(|_| Misshapen)?;
        let good = text.len() <= MAX_URL
            && matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        good.then(|| Self(url.as_str().trim_end_matches('/').to_owned()))
            .ok_or(Misshapen)
    }
}

impl fmt::Display for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

crate::by_text!(Collector);

/// The name of this service in traces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceName(String);

impl ServiceName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for ServiceName {
    fn default() -> Self {
        Self("sso".to_owned())
    }
}

impl Shape for ServiceName {
    const SHAPE: &str = "a name of 1 to 255 visible ASCII characters";
}

impl FromStr for ServiceName {
    type Err = Misshapen;

    fn from_str(text: &str) -> Result<Self, Misshapen> {
        let good = (1..=255).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        good.then(|| Self(text.to_owned())).ok_or(Misshapen)
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
