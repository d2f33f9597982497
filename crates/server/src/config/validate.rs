//! Rules that concern more than one value.

use std::net::{IpAddr, SocketAddr};

use super::{problems::Problems, section::Config, sources::Origins};

/// Whether only this machine can reach `address`, IPv4 in IPv6 included.
pub(super) fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

/// Adds a problem for each rule that is broken. A rule about a value that is wrong anyway is left
/// out.
pub(super) fn validate(
    config: &Config,
    development: bool,
    origins: &Origins,
    problems: &mut Problems,
) {
    let mut rules = Rules {
        config,
        origins,
        problems,
    };
    rules.callers();
    if development {
        rules.development();
    }
    rules.addresses_differ();
    rules.waits();
    rules.idle();
}

struct Rules<'a> {
    config: &'a Config,
    origins: &'a Origins,
    problems: &'a mut Problems,
}

impl Rules<'_> {
    /// Nothing fails open: callers that must identify themselves cannot do so yet.
    fn callers(&mut self) {
        if !self.config.grpc.require_caller {
            return;
        }
        if is_loopback(self.config.grpc.listen.ip()) {
            self.broken(
                "grpc.require_caller",
                &["grpc.listen"],
                "must be false: this version cannot identify callers yet",
            );
        } else {
            self.broken(
                "grpc.listen",
                &["grpc.require_caller"],
                "is not a loopback address, and this version cannot identify callers yet: \
                 listen on 127.0.0.1, or write `grpc.require_caller = false` if only an inner \
                 network can reach the port",
            );
        }
    }

    fn development(&mut self) {
        for (key, address) in self.listeners() {
            if !is_loopback(address.ip()) {
                self.broken(
                    key,
                    &[],
                    "must be a loopback address in development mode: listen on 127.0.0.1, or go \
                     without --dev",
                );
            }
        }
    }

    fn addresses_differ(&mut self) {
        let listeners = self.listeners();
        for (at, (key, address)) in listeners.iter().enumerate() {
            let clash = listeners[..at]
                .iter()
                .find(|(_, other)| overlap(*address, *other));
            if let Some((other, _)) = clash {
                self.broken(
                    key,
                    &[other],
                    &format!("must be another port than {other} has"),
                );
            }
        }
    }

    fn waits(&mut self) {
        if self.config.revocation.ack_wait >= self.config.http.request_timeout {
            self.broken(
                "revocation.ack_wait",
                &["http.request_timeout"],
                "must be shorter than http.request_timeout, else the answer is 504",
            );
        }
    }

    /// Else every client that waits for its access token to expire is signed out by that.
    fn idle(&mut self) {
        let idle = self.config.sessions.idle_ttl.limit();
        if idle.is_some_and(|idle| idle <= self.config.tokens.access_ttl) {
            self.broken(
                "sessions.idle_ttl",
                &["tokens.access_ttl"],
                "must be longer than tokens.access_ttl: clients refresh when that is over",
            );
        }
    }

    fn listeners(&self) -> Vec<(&'static str, SocketAddr)> {
        let mut listeners = vec![
            ("http.listen", self.config.http.listen),
            ("grpc.listen", self.config.grpc.listen),
        ];
        listeners.extend(
            self.config
                .admin
                .listen
                .address()
                .map(|address| ("admin.listen", address)),
        );
        listeners
    }

    fn broken(&mut self, key: &str, others: &[&str], text: &str) {
        let known_wrong = |key: &&str| self.problems.concern(key);
        if !known_wrong(&key) && !others.iter().any(known_wrong) {
            self.problems.of_key(key, self.origins.of(key), text);
        }
    }
}

/// Whether the system would refuse the second of two listeners.
fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let same_host =
        one.ip() == other.ip() || one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() != 0 && one.port() == other.port() && same_host
}
