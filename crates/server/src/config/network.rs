//! Values about who is at the other end.

use std::{fmt, str::FromStr};

use sso_web::proxies::ProxyNetwork;
use url::{Origin, Url};

use super::values::{Misshapen, Shape};

/// Where a trusted proxy connects from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Proxy(ProxyNetwork);

impl Proxy {
    /// Whether it is every address of IPv4 or of IPv6.
    pub(crate) fn is_anybody(self) -> bool {
        self.to_string().ends_with("/0")
    }
}

impl From<Proxy> for ProxyNetwork {
    fn from(proxy: Proxy) -> Self {
        proxy.0
    }
}

impl Shape for Proxy {
    const SHAPE: &str = "an IP address or a network whose host bits are zero, such as 10.0.0.0/8";
}

impl FromStr for Proxy {
    type Err = Misshapen;

    fn from_str(text: &str) -> Result<Self, Misshapen> {
        text.parse().map(Self).map_err(|_| Misshapen)
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The origin of web pages, as browsers write it in `Origin`: compared byte by byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CorsOrigin(String);

impl CorsOrigin {
    /// As browsers write it.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Shape for CorsOrigin {
    const SHAPE: &str = "an origin as browsers send it, such as https://app.example.com or \
                         http://localhost:3000: no path, no slash at its end, no default port, no \
                         wildcard";
}

impl FromStr for CorsOrigin {
    type Err = Misshapen;

    fn from_str(text: &str) -> Result<Self, Misshapen> {
        let url = Url::parse(text).map_err(|_| Misshapen)?;
        let origin = url.origin();
        // What is written otherwise would never be met. `null` has no scheme, and is anybody's.
        let exact = origin.ascii_serialization() == text;
        let is_http =
            matches!(&origin, Origin::Tuple(scheme, ..) if matches!(&**scheme, "http" | "https"));
        // The host may be nothing but a name: `*` is a valid one to the parser.
        let plain = !text.contains(['*', ',', ' ']);
        if exact && is_http && plain {
            Ok(Self(text.to_owned()))
        } else {
            Err(Misshapen)
        }
    }
}

impl fmt::Display for CorsOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

sso_config::by_text!(Proxy, CorsOrigin);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_written_as_browsers_do() {
        for good in [
            "https://app.example.com",
            "http://localhost:3000",
            "https://[2001:db8::1]:8443",
            "https://xn--bcher-kva.example",
        ] {
            assert!(good.parse::<CorsOrigin>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "*",
            "null",
            "https://*",
            "https://*.example.com",
            "https://app.example.com/",
            "https://app.example.com/path",
            "https://app.example.com:443",
            "https://App.example.com",
            "https://bücher.example",
            "https://user@app.example.com",
            "ftp://app.example.com",
            "file:///tmp",
            "app.example.com",
            "https://app.example.com https://b.example",
        ] {
            assert!(bad.parse::<CorsOrigin>().is_err(), "{bad}");
        }
    }
}
