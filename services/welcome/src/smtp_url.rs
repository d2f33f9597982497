//! Where a mail server is, and how it is spoken to.

use std::{fmt, net::IpAddr, str::FromStr};

use sso_config::values::{Misshapen, Shape};
use url::{Host, Url};

/// TLS of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tls {
    /// From the first byte.
    Wrapped,
    /// By STARTTLS, or not at all.
    Required,
    /// By STARTTLS if it is offered.
    Opportunistic,
    /// None.
    None,
}

/// Where a mail server is. No credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SmtpUrl {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) tls: Tls,
    local: bool,
    written: String,
}

impl SmtpUrl {
    /// Whether a password would be read on the way.
    pub(crate) fn in_clear(&self) -> bool {
        !self.local && matches!(self.tls, Tls::None | Tls::Opportunistic)
    }
}

impl Shape for SmtpUrl {
    const SHAPE: &str = "smtp://host:587 or smtps://host:465, with ?tls=required, opportunistic or \
                         none if need be, and without credentials";
}

impl FromStr for SmtpUrl {
    type Err = Misshapen;

    fn from_str(text: &str) -> Result<Self, Misshapen> {
        let url = Url::parse(text).map_err(|_| Misshapen)?;
        let bare = url.username().is_empty()
            && url.password().is_none()
            && url.fragment().is_none()
            && matches!(url.path(), "" | "/")
            && !text.contains('@');
        let host = url.host_str().filter(|host| !host.is_empty() && bare);
        let host = host.ok_or(Misshapen)?.trim_matches(['[', ']']).to_owned();
        let address = match url.host() {
            Some(Host::Ipv4(address)) => Some(IpAddr::V4(address)),
            Some(Host::Ipv6(address)) => Some(IpAddr::V6(address)),
            // Schemes that the parser does not know have opaque hosts.
            _ => host.parse().ok(),
        };
        let local = host == "localhost" || address.is_some_and(sso_config::is_loopback);
        let (tls, port) = match (url.scheme(), url.query()) {
            ("smtps", None) => (Tls::Wrapped, 465),
            ("smtp", None) if local => (Tls::Opportunistic, 587),
            ("smtp", None | Some("tls=required")) => (Tls::Required, 587),
            ("smtp", Some("tls=opportunistic")) => (Tls::Opportunistic, 587),
            ("smtp", Some("tls=none")) => (Tls::None, 587),
            _ => return Err(Misshapen),
        };
        Ok(Self {
            port: url.port().unwrap_or(port),
            host,
            tls,
            local,
            written: text.to_owned(),
        })
    }
}

impl fmt::Display for SmtpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

sso_config::by_text!(SmtpUrl);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tls_is_demanded_unless_the_server_is_on_this_machine_or_it_is_written() {
        for (text, tls, port) in [
            ("smtps://mx.example.com", Tls::Wrapped, 465),
            ("smtp://mx.example.com", Tls::Required, 587),
            ("smtp://mx.example.com:25?tls=none", Tls::None, 25),
            ("smtp://127.0.0.1:2525", Tls::Opportunistic, 2525),
            ("smtp://[::1]:2525/?tls=required", Tls::Required, 2525),
            ("smtp://localhost", Tls::Opportunistic, 587),
        ] {
            let url: SmtpUrl = text.parse().unwrap();
            assert_eq!((url.tls, url.port), (tls, port), "{text}");
        }
        for bad in [
            "mx.example.com",
            "http://mx.example.com",
            "smtp://user:secret@mx.example.com",
            "smtps://mx.example.com?tls=none",
            "smtp://mx.example.com/ehlo",
            "smtp://",
        ] {
            assert!(bad.parse::<SmtpUrl>().is_err(), "{bad}");
        }
    }
}
