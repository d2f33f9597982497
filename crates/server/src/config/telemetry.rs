//! Values that say where traces go, and the rule that concerns two of them.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use url::Url;

use super::{
    section::{OtlpProtocol, Telemetry},
    values::{Misshapen, Shape, text},
};

/// Longest URL in bytes.
const MAX_URL: usize = 2048;

/// The URL of a collector of traces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Collector(String);

impl Collector {
    /// The URL.
    pub(crate) fn as_str(&self) -> &str {
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

/// Optional, where no `with` reaches.
impl Serialize for Collector {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        text::serialize(self, serializer)
    }
}

impl<'de> Deserialize<'de> for Collector {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text::deserialize(deserializer)
    }
}

/// The name of this service in traces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServiceName(String);

impl ServiceName {
    /// The name.
    pub(crate) fn as_str(&self) -> &str {
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

/// What is wrong with the section, if something is: the client of OTLP over HTTP speaks no TLS.
pub(super) fn broken(telemetry: &Telemetry) -> Option<&'static str> {
    let https = telemetry
        .otlp_endpoint
        .as_ref()
        .is_some_and(Collector::is_https);
    (https && telemetry.otlp_protocol == OtlpProtocol::HttpProtobuf).then_some(
        "is an https URL, which needs telemetry.otlp_protocol = \"grpc\": OTLP over HTTP is \
         sent without TLS",
    )
}
