//! Who asks, and from where.

use std::{fmt, net::IpAddr, sync::Arc};

use crate::{
    failure::{Failure, Kind},
    ports::{AccessClaims, store::Actor},
    scope::{Scope, Scopes},
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

/// An IPv4 /24 or an IPv6 /64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Network(u64);

impl Network {
    /// Where nothing is known of the client's address.
    pub const UNKNOWN: Self = Self(u64::MAX);
    /// What IPv4 networks begin with: nobody has a multicast address (ff00::/8, RFC 4291, 2.7).
    const V4: u64 = 0xffff << 48;

    /// The number of a network, by which stores know it.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// The network of an address. An IPv4 address mapped into IPv6 is an IPv4 address.
    pub fn of(address: Option<IpAddr>) -> Self {
        match address.map(|address| address.to_canonical()) {
            None => Self::UNKNOWN,
            Some(IpAddr::V4(v4)) => Self(Self::V4 | u64::from(v4.to_bits() >> 8)),
            Some(IpAddr::V6(v6)) => Self((v6.to_bits() >> 64) as u64),
        }
    }
}

/// [`Network::UNKNOWN`].
impl Default for Network {
    fn default() -> Self {
        Self::UNKNOWN
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
    /// The user of a validated access token, about himself.
    User(AccessClaims),
    /// The user of a validated access token of an administrator, of whom the store has just said
    /// that he still is one. Made by [`admit`](crate::usecases::admit) only.
    Admin(AccessClaims),
    /// Another service that has identified itself.
    Service(Service),
    /// The operator at the command line of the machine that holds the database.
    Operator,
}

/// A service that is known by its token or by its certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// The operator's name for it.
    pub name: Arc<str>,
    /// What it may do.
    pub scopes: Scopes,
}

/// The caller of a use case: always right after the [`Sso`](crate::Sso).
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
            Identity::User(claims) | Identity::Admin(claims) => Ok(claims),
            Identity::Anonymous | Identity::Service(_) | Identity::Operator => Err(NotAllowed),
        }
    }

    /// Whether the caller may do what `scope` stands for: a service that has it, an administrator,
    /// the operator.
    pub fn may(&self, scope: Scope) -> Result<(), NotAllowed> {
        match &self.identity {
            Identity::Operator => Ok(()),
            // `auth` is what services do on behalf of people.
            Identity::Admin(_) if scope != Scope::Auth => Ok(()),
            Identity::Service(service) if service.scopes.has(scope) => Ok(()),
            Identity::Anonymous | Identity::User(_) | Identity::Admin(_) | Identity::Service(_) => {
                Err(NotAllowed)
            }
        }
    }

    /// Whether the caller may read the audit log.
    pub fn may_read_audit(&self) -> Result<(), NotAllowed> {
        self.may(Scope::AuditRead)
    }

    /// Who the caller is in the audit log.
    pub fn actor(&self) -> Actor {
        match &self.identity {
            Identity::Anonymous => Actor::Anonymous,
            Identity::User(claims) | Identity::Admin(claims) => Actor::User(claims.user),
            Identity::Service(service) => Actor::Service(service.name.to_string()),
            Identity::Operator => Actor::Operator,
        }
    }

    /// Whether the caller may administer users.
    pub fn may_administer_users(&self) -> Result<(), NotAllowed> {
        self.may(Scope::UsersAdmin)
    }

    /// Whether the caller may see events and say what becomes of them.
    pub fn may_administer_events(&self) -> Result<(), NotAllowed> {
        self.may(Scope::EventsAdmin)
    }

    /// Whether the caller may see and change the signing keys: there is no scope for that, so no
    /// service can.
    pub fn may_administer_keys(&self) -> Result<(), NotAllowed> {
        match &self.identity {
            Identity::Operator | Identity::Admin(_) => Ok(()),
            Identity::Anonymous | Identity::User(_) | Identity::Service(_) => Err(NotAllowed),
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

    #[test]
    fn a_service_may_do_what_its_scopes_say_and_nothing_of_a_user() {
        let caller = Caller {
            origin: Origin::default(),
            identity: Identity::Service(Service {
                name: "billing".into(),
                scopes: Scopes::from_iter([Scope::EventsAdmin]),
            }),
        };
        assert_eq!(caller.may_administer_events(), Ok(()));
        assert_eq!(caller.may_administer_users(), Err(NotAllowed));
        assert!(caller.user().is_err());
        let stranger = Caller::anonymous(Origin::default());
        for scope in Scope::ALL {
            assert_eq!(stranger.may(scope), Err(NotAllowed), "{scope}");
            assert_eq!(Caller::operator().may(scope), Ok(()), "{scope}");
        }
    }

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
        for known in [
            "0.0.0.0",
            "255.255.255.255",
            "::",
            "::1",
            "::c000:201",
            "127.0.0.1",
        ] {
            assert_ne!(network(known), Network::UNKNOWN, "{known}");
        }
        assert_ne!(network("::1"), network("0.0.0.1"));
    }

    #[test]
    fn a_stranger_is_no_user_and_the_operator_no_user_but_an_administrator() {
        let (stranger, operator) = (Caller::anonymous(Origin::default()), Caller::operator());
        assert_eq!(stranger.user(), Err(NotAllowed));
        assert_eq!(operator.user(), Err(NotAllowed));
        assert_eq!(stranger.may_administer_users(), Err(NotAllowed));
        assert_eq!(operator.may_administer_users(), Ok(()));
    }

    #[test]
    fn an_agent_stays_one_short_line() {
        let agent = Agent::new(&format!("a\r\n\u{1b}[31m{}", "x".repeat(300)));
        assert_eq!(agent.as_str().chars().count(), 200);
        assert!(!agent.as_str().chars().any(char::is_control));
    }
}
