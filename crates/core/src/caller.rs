//! Who asks, and from where.

use std::{fmt, net::IpAddr};

use crate::{
    failure::{Failure, Kind},
    ports::{AccessClaims, store::Actor},
};

/// Longest part of a user agent that is kept.
const MAX_AGENT: usize = 200;

/// Where a request came from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin {
    /// The client's address, as far as it can be believed.
    pub address: Option<IpAddr>,
    /// The client's user agent.
    pub agent: Option<Agent>,
    /// W3C Trace Context of the request (`traceparent`), if it sent one.
    pub traceparent: Option<String>,
    /// W3C Trace Context of the request (`tracestate`), if it sent one.
    pub tracestate: Option<String>,
}

impl Origin {
    /// The network that shares one part of what is shared fairly: IPv4 /24, IPv6 /64.
    pub fn network(&self) -> Network {
        Network::of(self.address)
    }
}

/// An IPv4 /24 or an IPv6 /64; zero where the address is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Network(u64);

impl Network {
    /// Where nothing is known of the client's address.
    pub const UNKNOWN: Self = Self(0);

    /// The network of an address. An IPv4 address mapped into IPv6 is an IPv4 address.
    pub fn of(address: Option<IpAddr>) -> Self {
        match address.map(|address| address.to_canonical()) {
            None => Self::UNKNOWN,
            Some(IpAddr::V4(v4)) => Self(u64::from(v4.to_bits() >> 8)),
            Some(IpAddr::V6(v6)) => Self((v6.to_bits() >> 64) as u64),
        }
    }
}

/// A user agent, shortened to 200 characters, control characters replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agent(String);

impl Agent {
    /// Makes any text a user agent.
    pub fn new(text: &str) -> Self {
        let clean = |c: char| if c.is_control() { '\u{fffd}' } else { c };
        Self(text.chars().take(MAX_AGENT).map(clean).collect())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// On whose authority a request is made.
#[derive(Debug, Clone)]
pub enum Identity {
    /// Nobody yet: registration, login, refresh, logout.
    Anonymous,
    /// The user of a validated access token.
    User(AccessClaims),
    /// The operator at the command line of the machine that holds the database.
    Operator,
}

/// The caller of a use case: always its first argument.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Where the request came from.
    pub origin: Origin,
    /// On whose authority it is made.
    pub identity: Identity,
}

impl Caller {
    /// A caller who has shown no credentials.
    pub const fn anonymous(origin: Origin) -> Self {
        Self {
            origin,
            identity: Identity::Anonymous,
        }
    }

    /// The operator at the command line.
    pub fn operator() -> Self {
        Self {
            origin: Origin::default(),
            identity: Identity::Operator,
        }
    }

    /// The claims of the user who calls.
    pub fn user(&self) -> Result<&AccessClaims, NotAllowed> {
        match &self.identity {
            Identity::User(claims) => Ok(claims),
            Identity::Anonymous | Identity::Operator => Err(NotAllowed),
        }
    }

    /// Whether the caller may read the audit log.
    pub fn may_read_audit(&self) -> Result<(), NotAllowed> {
        match &self.identity {
            Identity::Operator => Ok(()),
            Identity::Anonymous | Identity::User(_) => Err(NotAllowed),
        }
    }

    /// Who the caller is in the audit log.
    pub fn actor(&self) -> Actor {
        match &self.identity {
            Identity::Anonymous => Actor::Anonymous,
            Identity::User(claims) => Actor::User(claims.user),
            Identity::Operator => Actor::Operator,
        }
    }

    /// Whether the caller may administer users.
    pub fn may_administer_users(&self) -> Result<(), NotAllowed> {
        match &self.identity {
            Identity::Operator => Ok(()),
            Identity::Anonymous | Identity::User(_) => Err(NotAllowed),
        }
    }
}

/// The caller may not do this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not allowed")]
pub struct NotAllowed;

impl From<NotAllowed> for Failure {
    fn from(_: NotAllowed) -> Self {
        Self::new(Kind::Forbidden, "forbidden", "not allowed")
    }
}

impl fmt::Display for Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        Network::of(Some(text.parse().unwrap()))
    }

    #[test]
    fn a_network_is_an_ipv4_24_or_an_ipv6_64() {
        assert_eq!(network("192.0.2.1"), network("192.0.2.200"));
        assert_ne!(network("192.0.2.1"), network("192.0.3.1"));
        assert_eq!(network("2001:db8::1"), network("2001:db8::ffff:1"));
        assert_ne!(network("2001:db8::1"), network("2001:db8:0:1::1"));
        assert_eq!(network("::ffff:192.0.2.1"), network("192.0.2.1"));
    }

    #[test]
    fn an_agent_stays_one_short_line() {
        let agent = Agent::new(&format!("a\r\n\u{1b}[31m{}", "x".repeat(300)));
        assert_eq!(agent.as_str().chars().count(), 200);
        assert!(!agent.as_str().chars().any(char::is_control));
    }
}
