//! Whom we believe when he says that he speaks for somebody else.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

use axum::http::{HeaderMap, HeaderName};
use ipnet::IpNet;

/// The header that proxies append to. `Forwarded` (RFC 7239) is not read: of two headers that
/// disagree one would be the client's.
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// How many hops are followed at most.
const MAX_HOPS: usize = 32;

/// Where a trusted proxy connects from: a network (`10.0.0.0/8`) or one address. IPv4 in IPv6 dress
/// is IPv4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProxyNetwork(IpNet);

impl ProxyNetwork {
    fn contains(self, address: IpAddr) -> bool {
        self.0.contains(&address)
    }
}

/// It is neither an address nor a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("neither an address nor a network")]
pub struct NoNetwork;

impl FromStr for ProxyNetwork {
    type Err = NoNetwork;

    fn from_str(text: &str) -> Result<Self, NoNetwork> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self(address.to_canonical().into()));
        }
        let network: IpNet = text.parse().map_err(|_| NoNetwork)?;
        // 10.0.0.1/8 is a slip: did he mean the network or the address? ::ffff:10.0.0.0/104 would
        // never be found again.
        let is_canonical =
            network.addr() == network.network() && network.addr().to_canonical() == network.addr();
        is_canonical.then_some(Self(network)).ok_or(NoNetwork)
    }
}

impl fmt::Display for ProxyNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.prefix_len() == self.0.max_prefix_len() {
            self.0.addr().fmt(f)
        } else {
            self.0.fmt(f)
        }
    }
}

/// All of them; none by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<ProxyNetwork>);

impl FromIterator<ProxyNetwork> for TrustedProxies {
    fn from_iter<I: IntoIterator<Item = ProxyNetwork>>(networks: I) -> Self {
        Self(networks.into_iter().collect())
    }
}

impl TrustedProxies {
    /// Whether `address` is one of theirs.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(address))
    }

    /// Who asks, where `peer` is the other end of the connection: `peer`, unless it is a trusted
    /// proxy. Then the rightmost hop of `X-Forwarded-For` that is none: what stands left of it was
    /// written by somebody whom nobody vouches for. A hop that is no address ends the search at the
    /// proxy that wrote it.
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer;
        if self.0.is_empty() {
            return client;
        }
        let lines = headers.get_all(FORWARDED_FOR).iter().rev();
        let mut hops = lines
            // Each by itself: what a client wrote, any byte above 0x7f too, must not hide what a proxy has added.
            .flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','))
            .map(|hop| str::from_utf8(hop).unwrap_or_default().trim())
            .take(MAX_HOPS);
        while self.contains(client) {
            let Some(hop) = hops.next().and_then(address) else {
                break;
            };
            client = hop;
        }
        client
    }
}

/// A hop: an address, with a port where the proxy adds one.
fn address(hop: &str) -> Option<IpAddr> {
    let bare = hop.strip_prefix('[').and_then(|hop| hop.strip_suffix(']'));
    let address = match hop.parse::<SocketAddr>() {
        Ok(with_port) => with_port.ip(),
        Err(_) => bare.unwrap_or(hop).parse().ok()?,
    };
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn proxies(networks: &[&str]) -> TrustedProxies {
        networks.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn client(proxies: &TrustedProxies, peer: &str, lines: &[&str]) -> String {
        let lines: Vec<_> = lines.iter().map(|line| line.as_bytes()).collect();
        client_of_bytes(proxies, peer, &lines)
    }

    fn client_of_bytes(proxies: &TrustedProxies, peer: &str, lines: &[&[u8]]) -> String {
        let headers = lines
            .iter()
            .map(|line| (FORWARDED_FOR, HeaderValue::from_bytes(line).unwrap()));
        let headers: HeaderMap = headers.collect();
        proxies.client(peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn a_network_is_written_as_such_or_as_an_address() {
        for (good, shown) in [
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("192.0.2.7", "192.0.2.7"),
            ("192.0.2.7/32", "192.0.2.7"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("2001:db8::/32", "2001:db8::/32"),
            ("::1", "::1"),
            ("0.0.0.0/0", "0.0.0.0/0"),
        ] {
            assert_eq!(good.parse::<ProxyNetwork>().unwrap().to_string(), shown);
        }
        for bad in [
            "",
            "localhost",
            "10.0.0.1/8",
            "10.0.0.0/33",
            "10.0.0.0/-1",
            "10.0.0/8",
            "10.0.0.0/8 ",
            "::ffff:10.0.0.0/104",
            "192.0.2.7:80",
        ] {
            assert_eq!(bad.parse::<ProxyNetwork>(), Err(NoNetwork), "{bad}");
        }
    }

    #[test]
    fn an_untrusted_peer_is_the_client_whatever_he_says() {
        for proxies in [proxies(&[]), proxies(&["10.0.0.0/8"])] {
            assert_eq!(
                client(&proxies, "192.0.2.1", &["198.51.100.1"]),
                "192.0.2.1"
            );
        }
    }

    #[test]
    fn the_rightmost_untrusted_hop_is_the_client() {
        let proxies = proxies(&["10.0.0.0/8", "::1"]);
        for (lines, expected) in [
            (&["198.51.100.1"][..], "198.51.100.1"),
            (&["203.0.113.9, 198.51.100.1"], "198.51.100.1"),
            (
                &["203.0.113.9, 198.51.100.1,10.1.1.1 , ::1"],
                "198.51.100.1",
            ),
            (&["203.0.113.9", "198.51.100.1", "10.1.1.1"], "198.51.100.1"),
            (&["198.51.100.1:4711"], "198.51.100.1"),
            (&["[2001:db8::1]:4711"], "2001:db8::1"),
            (&["[2001:db8::1]"], "2001:db8::1"),
            (&["::ffff:198.51.100.1"], "198.51.100.1"),
            // Nobody but proxies: the one that is farthest away.
            (&["10.3.3.3, 10.2.2.2"], "10.3.3.3"),
            // The proxy that wrote nonsense is as far as we know the way.
            (&["198.51.100.1, unknown, 10.2.2.2"], "10.2.2.2"),
            (&["198.51.100.1,"], "10.0.0.1"),
            (&["_hidden"], "10.0.0.1"),
            (&[""], "10.0.0.1"),
            (&[], "10.0.0.1"),
        ] {
            assert_eq!(client(&proxies, "10.0.0.1", lines), expected, "{lines:?}");
        }
        let ours = ["10.1.1.1"; 100].join(",");
        let far = format!("198.51.100.1,{ours}");
        assert_eq!(client(&proxies, "10.0.0.1", &[&far]), "10.1.1.1");
    }

    proptest! {
        #[test]
        fn what_the_client_wrote_himself_changes_nothing(
            said in vec(any::<u8>().prop_filter("of a header", |byte| *byte >= 0x20 && *byte != 0x7f), 0..60),
        ) {
            let proxies = proxies(&["10.0.0.0/8"]);
            let line = [&said[..], b",198.51.100.1"].concat();
            prop_assert_eq!(client_of_bytes(&proxies, "10.0.0.1", &[&line]), "198.51.100.1");
            prop_assert_eq!(client_of_bytes(&proxies, "192.0.2.1", &[&line]), "192.0.2.1");
        }
    }
}
