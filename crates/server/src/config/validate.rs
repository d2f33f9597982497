//! Rules that concern more than one value.

use std::{iter, net::SocketAddr};

use sso_config::is_loopback;
use sso_core::CLOCK_LEEWAY;
use sso_crypto::CompatSecret;
use sso_store_postgres::servers::{ServerUrl, SslMode};

use super::{
    database::{DatabaseUrl, ReplicaUrl},
    section::{Config, Sink, TokenMode},
};

/// Adds a problem for each rule that is broken. A rule about a value that is wrong anyway is left
/// out.
pub(super) fn validate(config: &Config, broken: &mut sso_config::Rules<'_>) {
    let development = broken.development;
    let mut rules = Rules { config, broken };
    if development {
        rules.development();
    }
    rules.addresses_differ();
    rules.shared_secret();
    rules.key_rotation();
    rules.waits();
    rules.database();
    rules.roots();
    rules.certificates();
    rules.proxies();
    rules.events();
    super::redis::validate(&config.redis, rules.broken);
    config.telemetry.validate(rules.broken);
}

struct Rules<'a, 'b> {
    config: &'a Config,
    broken: &'a mut sso_config::Rules<'b>,
}

impl Rules<'_, '_> {
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

    fn shared_secret(&mut self) {
        let tokens = &self.config.tokens;
        if tokens.mode != TokenMode::Hs256 {
            return;
        }
        match &tokens.hs256_secret {
            None => self.broken(
                "tokens.mode",
                &["tokens.hs256_secret", "tokens.hs256_secret_file"],
                "is hs256, which needs tokens.hs256_secret",
            ),
            Some(secret)
                if secret.reveal().len() < CompatSecret::MIN_BYTES && !tokens.hs256_accept_weak =>
            {
                self.broken(
                    "tokens.hs256_secret",
                    &["tokens.hs256_accept_weak"],
                    "is shorter than 32 bytes: whoever has a token can guess it. Take a longer \
                     one, or write `tokens.hs256_accept_weak = true`",
                );
            }
            Some(_) => {}
        }
    }

    fn key_rotation(&mut self) {
        let keys = &self.config.keys;
        if keys
            .rotate_every
            .get()
            .is_some_and(|every| every <= keys.jwks_max_age)
        {
            self.broken(
                "keys.rotate_every",
                &["keys.jwks_max_age"],
                "must be longer than keys.jwks_max_age: a key would be old before it signs",
            );
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

    /// What PostgreSQL needs, and what only PostgreSQL has.
    fn database(&mut self) {
        let Config {
            database,
            keys,
            http,
            tokens,
            ..
        } = self.config;
        if database.url.is_embedded() {
            if !database.replicas.is_empty() {
                self.broken(
                    "database.replicas",
                    &["database.url"],
                    "is for PostgreSQL: the embedded database (database.url) has no replicas",
                );
            }
            return;
        }
        if keys.master_key.is_none() {
            self.broken(
                "keys.master_key",
                &["database.url", "keys.master_key_file"],
                "is needed with PostgreSQL, the same for every instance: set it to what `openssl \
                 rand -base64 32` prints",
            );
        }
        // A revocation is held for so long; then a row that is older must not be read.
        if database.max_lag >= tokens.access_ttl + 2 * CLOCK_LEEWAY {
            self.broken(
                "database.max_lag",
                &["tokens.access_ttl"],
                "must be shorter than tokens.access_ttl plus 20 seconds: who was an admin would be \
                 one to a replica that lags, after that was forgotten",
            );
        }
        if database.acquire_timeout >= http.request_timeout {
            self.broken(
                "database.acquire_timeout",
                &["http.request_timeout"],
                "must be shorter than http.request_timeout, else the answer is 504",
            );
        }
    }

    /// Who wants the servers' certificates to be looked at says by whom they are.
    fn roots(&mut self) {
        let database = &self.config.database;
        let DatabaseUrl::Postgres(primary) = &database.url else {
            return;
        };
        let replicas = database.replicas.iter().map(ReplicaUrl::server);
        let replicas = replicas.map(|url| ("database.replicas", url));
        let looks =
            |url: &ServerUrl| matches!(url.ssl_mode(), SslMode::VerifyCa | SslMode::VerifyFull);
        let mut all = iter::once(("database.url", primary)).chain(replicas);
        if database.tls_ca.is_none()
            && let Some((key, url)) = all.find(|(_, url)| looks(url))
        {
            let text = format!(
                "is needed with sslmode={} in {key}: the CA's certificate, for a public one the \
                 system's bundle",
                url.ssl_mode().as_str()
            );
            self.broken("database.tls_ca", &[key], &text);
        }
    }

    /// Each listener's, and our own for PostgreSQL.
    fn certificates(&mut self) {
        let Config {
            http,
            grpc,
            admin,
            database,
            ..
        } = self.config;
        let pairs = [
            (
                ("database.tls_cert", database.tls_cert.is_some()),
                ("database.tls_key", database.tls_key.is_some()),
            ),
            (
                ("http.tls_cert", http.tls_cert.is_some()),
                ("http.tls_key", http.tls_key.is_some()),
            ),
            (
                ("grpc.tls_cert", grpc.tls_cert.is_some()),
                ("grpc.tls_key", grpc.tls_key.is_some()),
            ),
            (
                ("admin.tls_cert", admin.tls_cert.is_some()),
                ("admin.tls_key", admin.tls_key.is_some()),
            ),
        ];
        for (certificate, key) in pairs {
            self.broken.together(certificate, key);
        }
        if grpc.tls_client_ca.is_some() && grpc.tls_cert.is_none() {
            self.broken(
                "grpc.tls_client_ca",
                &["grpc.tls_cert"],
                "needs grpc.tls_cert beside it: without TLS nobody shows a certificate",
            );
        }
    }

    /// Without a trusted proxy the PROXY protocol would be believed from nobody.
    fn proxies(&mut self) {
        let Config { http, grpc, .. } = self.config;
        let on = [
            ("http.proxy_protocol", http.proxy_protocol),
            ("grpc.proxy_protocol", grpc.proxy_protocol),
        ];
        for (key, on) in on {
            if on && http.trusted_proxies.is_empty() {
                self.broken(
                    key,
                    &["http.trusted_proxies"],
                    "needs http.trusted_proxies: from others it is not accepted",
                );
            }
        }
    }

    fn events(&mut self) {
        let Config { events, kafka, .. } = self.config;
        if events.sink == Sink::Kafka {
            kafka.demand(self.broken, Some(("events.sink", "events.sink is kafka")));
        }
        kafka.validate(self.broken);
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
        self.broken.broken(key, others, text);
    }
}

/// Whether the system would refuse the second of two listeners.
fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let same_host =
        one.ip() == other.ip() || one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() != 0 && one.port() == other.port() && same_host
}
