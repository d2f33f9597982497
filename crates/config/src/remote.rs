//! Values that say where other servers are.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use url::Url;
use zeroize::Zeroizing;

use crate::values::{HIDDEN, Misshapen, Shape};

/// Longest host name in bytes (RFC 1035, section 2.3.4).
const MAX_HOST: usize = 253;
/// Longest URL in bytes.
const MAX_URL: usize = 2048;
/// Most addresses of one service.
const MAX_URLS: usize = 16;

/// The address of a broker, `host:port`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broker(String);

impl Broker {
    /// `host:port`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is on this machine.
    pub fn is_local(&self) -> bool {
        let host = self.0.rsplit_once(':').map_or("", |(host, _)| host);
        is_local(host)
    }
}

impl Shape for Broker {
    const SHAPE: &str = "a host and a port, such as kafka1.example.com:9092 or [::1]:9092";
}

impl FromStr for Broker {
    type Err = Misshapen;

    fn from_str(text: &str) -> Result<Self, Misshapen> {
        let (host, port) = text.rsplit_once(':').ok_or(Misshapen)?;
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        let good = match bare {
            Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
            None => {
                (1..=MAX_HOST).contains(&host.len())
                    && host
                        .bytes()
                        .all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
            }
        };
        if good && port.parse::<u16>().is_ok_and(|port| port > 0) {
            Ok(Self(text.to_owned()))
        } else {
            Err(Misshapen)
        }
    }
}

impl fmt::Display for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of a Kafka topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicName(String);

impl TopicName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The one of the contract.
    pub fn registration() -> Self {
        Self("registration".to_owned())
    }
}

impl Shape for TopicName {
    const SHAPE: &str = "a topic's name: 1 to 249 of the characters a-z A-Z 0-9 . _ -";
}

impl FromStr for TopicName {
    type Err = Misshapen;

    fn from_str(text: &str) -> Result<Self, Misshapen> {
        let good = (1..=249).contains(&text.len())
            && !matches!(text, "." | "..")
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
        if good {
            Ok(Self(text.to_owned()))
        } else {
            Err(Misshapen)
        }
    }
}

impl fmt::Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One or more URLs of the same service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Urls(Vec<String>);

impl Urls {
    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Whether one of them would carry a password in clear over a network.
    pub fn any_in_clear(&self) -> bool {
        self.0
            .iter()
            .filter_map(|url| Url::parse(url).ok())
            .any(|url| url.scheme() == "http" && !is_local(url.host_str().unwrap_or_default()))
    }
}

impl Shape for Urls {
    const SHAPE: &str = "an http or https URL without credentials, query and fragment, such as \
                         http://host.example.com:8081; several, up to 16, are comma-separated";
}

impl FromStr for Urls {
    type Err = Misshapen;

    fn from_str(text: &str) -> Result<Self, Misshapen> {
        let urls = text.split(',').map(|url| plain(url.trim()));
        let urls: Vec<_> = urls.collect::<Result<_, _>>()?;
        if urls.len() > MAX_URLS {
            return Err(Misshapen);
        }
        Ok(Self(urls))
    }
}

impl fmt::Display for Urls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(","))
    }
}

/// One URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OneUrl(String);

impl OneUrl {
    /// The URL.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Shape for OneUrl {
    const SHAPE: &str = "one http or https URL without credentials, query and fragment, such as \
                         https://login.example.com/oauth2/token";
}

impl FromStr for OneUrl {
    type Err = Misshapen;

    fn from_str(text: &str) -> Result<Self, Misshapen> {
        // A comma may stand in a URL; who writes one means several.
        if text.contains(',') {
            return Err(Misshapen);
        }
        plain(text.trim()).map(Self)
    }
}

impl fmt::Display for OneUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An http or https URL without credentials, query and fragment.
fn plain(url: &str) -> Result<String, Misshapen> {
    let parsed = Url::parse(url).map_err(|_| Misshapen)?;
    let good = url.len() <= MAX_URL
        && matches!(parsed.scheme(), "http" | "https")
        && parsed.has_host()
        && !url.contains(['@', '?', '#', '\\']);
    if good {
        Ok(url.to_owned())
    } else {
        Err(Misshapen)
    }
}

crate::by_text!(Broker, TopicName, Urls, OneUrl);

/// A password, a token or another secret. Neither printed nor serialised.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential(Zeroizing<String>);

impl Credential {
    /// Keeps it.
    pub fn new(text: &str) -> Self {
        Self(Zeroizing::new(text.to_owned()))
    }

    /// What it is, for whom it is meant.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl Shape for Credential {
    const SHAPE: &str = "a text of 1 to 4096 bytes without control characters";
}

impl<'de> Deserialize<'de> for Credential {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Zeroizing::new(text)))
    }
}

impl Serialize for Credential {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(HIDDEN)
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credential(..)")
    }
}

/// Whether a host is this machine.
pub fn is_local(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(crate::is_loopback)
}
