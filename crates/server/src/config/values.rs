//! Values that are more than numbers and text, beside those that every program has.

use std::{fmt, net::SocketAddr, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
pub(super) use sso_config::values::{
    AddressOrOff, DurationOrOff, HIDDEN, Misshapen, Shape, Text, text,
};
use url::Url;
use zeroize::Zeroizing;

/// Longest URL or name in bytes.
const MAX_BYTES: usize = 255;

/// An origin with an optional path, kept as written: it is compared byte by byte in tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PublicUrl(String);

impl PublicUrl {
    /// The URL of a listener, with TLS or without.
    pub(super) fn of_listener(address: SocketAddr, tls: bool) -> Self {
        let scheme = if tls { "https" } else { "http" };
        Self(format!("{scheme}://{address}"))
    }

    /// Whether browsers come by TLS: to us, or to a proxy before us.
    pub(crate) fn is_https(&self) -> bool {
        self.0.starts_with("https://")
    }
}

impl Shape for PublicUrl {
    const SHAPE: &str = "an http or https URL, such as https://sso.example.com, without a slash \
                         at its end, query, fragment or password";
}

impl FromStr for PublicUrl {
    type Err = Misshapen;

    fn from_str(text: &str) -> Result<Self, Misshapen> {
        let url = Url::parse(text).map_err(|_| Misshapen)?;
        let good = text.len() <= MAX_BYTES
            && matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && !text.contains(['@', '?', '#', '\\'])
            && !text.ends_with('/')
            // What the parser would write otherwise (upper case, dots, a default port) would not
            // be found again by a comparison.
            && url.as_str().trim_end_matches('/') == text;
        if good {
            Ok(Self(text.to_owned()))
        } else {
            Err(Misshapen)
        }
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of an issuer or of an audience: StringOrURI of RFC 7519, section 2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TokenName(String);

impl TokenName {
    /// The name.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&PublicUrl> for TokenName {
    fn from(url: &PublicUrl) -> Self {
        Self(url.to_string())
    }
}

impl Shape for TokenName {
    const SHAPE: &str =
        "a name of 1 to 255 visible ASCII characters; one with a colon must be a URI";
}

impl FromStr for TokenName {
    type Err = Misshapen;

    fn from_str(text: &str) -> Result<Self, Misshapen> {
        let good = (1..=MAX_BYTES).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_graphic())
            && (!text.contains(':') || Url::parse(text).is_ok());
        if good {
            Ok(Self(text.to_owned()))
        } else {
            Err(Misshapen)
        }
    }
}

impl fmt::Display for TokenName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

sso_config::by_text!(TokenName);

/// The key that seals the private keys in the store. Neither printed nor serialised.
#[derive(Clone)]
pub(crate) struct MasterKey(sso_crypto::MasterKey);

impl MasterKey {
    /// The key itself.
    pub(crate) const fn key(&self) -> &sso_crypto::MasterKey {
        &self.0
    }
}

impl PartialEq for MasterKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_base64() == other.0.to_base64()
    }
}

impl Eq for MasterKey {}

impl Shape for MasterKey {
    const SHAPE: &str =
        "the base64 of exactly 32 random bytes, as `openssl rand -base64 32` prints";
}

impl<'de> Deserialize<'de> for MasterKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        let key = sso_crypto::MasterKey::from_base64(&text);
        key.map(Self)
            .map_err(|_| de::Error::custom(format!("must be {}", Self::SHAPE)))
    }
}

impl Serialize for MasterKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(HIDDEN)
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(..)")
    }
}
