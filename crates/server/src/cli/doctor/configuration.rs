//! Settings that work and are weaker than they should be.

use std::{net::SocketAddr, time::Duration};

use sso_crypto::CompatSecret;
use sso_store_postgres::servers::SslMode;

use super::Finding;
use crate::config::{Config, DatabaseUrl, Loaded, ReplicaUrl, section::TokenMode};

/// KiB times passes of the weakest choice of OWASP's Password Storage Cheat Sheet for argon2id
/// (m=7168, t=5).
const ARGON2_WORK: u32 = 35_840;
/// The least memory of those choices in KiB.
const ARGON2_MEMORY: u32 = 7_168;
/// Fewest characters of a password (NIST SP 800-63B, 5.1.1.1).
const PASSWORD_LENGTH: usize = 8;
/// About as long as a hash under load.
const FAILURE_FLOOR: Duration = Duration::from_millis(100);
/// A stolen access token is good for as long where services validate by themselves.
const ACCESS_TTL: Duration = Duration::from_hours(1);

pub(super) fn examine(loaded: &Loaded) -> Vec<Finding> {
    let config = &loaded.config;
    let mut findings = Vec::new();
    if loaded.development {
        findings.push(Finding::warning(
            "configuration",
            "development mode: passwords are taken that should not be",
            "for production write a configuration; `sso config example` shows every setting",
        ));
    }
    passwords(config, &mut findings);
    tokens(config, &mut findings);
    listeners(config, &mut findings);
    clients(config, &mut findings);
    log(config, &mut findings);
    database(config, &mut findings);
    if findings.is_empty() {
        findings.push(Finding::ok("configuration", "no weak setting"));
    }
    findings
}

fn passwords(config: &Config, findings: &mut Vec<Finding>) {
    let passwords = &config.passwords;
    let (memory, passes) = (passwords.argon2_memory, passwords.argon2_iterations);
    if memory < ARGON2_MEMORY || memory.saturating_mul(passes) < ARGON2_WORK {
        findings.push(Finding::warning(
            "passwords.argon2_memory",
            format!("{memory} KiB and {passes} passes are a weak hash"),
            "take the defaults, 19456 KiB and 2 passes; old hashes are replaced at the next logins",
        ));
    }
    if passwords.min_length < PASSWORD_LENGTH {
        findings.push(Finding::warning(
            "passwords.min_length",
            format!("passwords of {} characters are taken", passwords.min_length),
            "ask for 8 or more",
        ));
    }
    if !passwords.refuse_common {
        findings.push(Finding::warning(
            "passwords.refuse_common",
            "the commonest passwords are taken",
            "set it to true",
        ));
    }
    if config.login.failure_floor < FAILURE_FLOOR {
        findings.push(Finding::warning(
            "login.failure_floor",
            "shorter than a hash under load, so the time of a failed login can tell whether an \
             account exists",
            "take the default, 250ms",
        ));
    }
}

fn tokens(config: &Config, findings: &mut Vec<Finding>) {
    if config.tokens.access_ttl > ACCESS_TTL {
        findings.push(Finding::warning(
            "tokens.access_ttl",
            "access tokens live for more than an hour",
            "take the default, 15m: clients refresh by themselves",
        ));
    }
    let idle = config.sessions.idle_ttl.get();
    if idle.is_some_and(|idle| idle <= config.tokens.access_ttl) {
        findings.push(Finding::warning(
            "sessions.idle_ttl",
            "not longer than tokens.access_ttl, so a client that refreshes when its access token ends is signed \
             out",
            "make it several times as long as tokens.access_ttl",
        ));
    }
    let secret = config.tokens.hs256_secret.as_ref();
    let is_weak = secret.is_some_and(|secret| secret.reveal().len() < CompatSecret::MIN_BYTES);
    if is_weak && config.tokens.mode == TokenMode::Hs256 {
        findings.push(Finding::warning(
            "tokens.hs256_secret",
            "so short that who has one token can find it, and make tokens of anybody",
            "take 32 random bytes, for every service at once",
        ));
    }
}

/// What others can read on their way.
fn listeners(config: &Config, findings: &mut Vec<Finding>) {
    let admin = config.admin.listen.address();
    let plain = [
        (
            "http.listen",
            Some(config.http.listen),
            &config.http.tls_cert,
        ),
        (
            "grpc.listen",
            Some(config.grpc.listen),
            &config.grpc.tls_cert,
        ),
        ("admin.listen", admin, &config.admin.tls_cert),
    ];
    for (check, address, certificate) in plain {
        let address = address.filter(|address| certificate.is_none() && is_open(address));
        if let Some(address) = address {
            findings.push(Finding::warning(
                check,
                format!("{address} can be reached from other machines in plain text"),
                "listen on 127.0.0.1 behind a proxy that does TLS, or let only an inner network \
                 reach it",
            ));
        }
    }
    if config.http.public_url.to_string().starts_with("http://") && is_open(&config.http.listen) {
        findings.push(Finding::warning(
            "http.public_url",
            "clients are told to come without TLS",
            "set it to the https:// URL under which they reach this service",
        ));
    }
    if !config.grpc.require_caller && is_open(&config.grpc.listen) {
        findings.push(Finding::warning(
            "grpc.require_caller",
            "whoever can connect to the gRPC port may use it",
            "see to it that only an inner network can connect",
        ));
    }
    if config.http.expose_metrics && is_open(&config.http.listen) {
        findings.push(Finding::warning(
            "http.expose_metrics",
            "metrics are shown to everybody who can connect",
            "set it to false and let Prometheus read admin.listen",
        ));
    }
}

/// Whether clients are held back, and told from one another.
fn clients(config: &Config, findings: &mut Vec<Finding>) {
    if !config.throttle.enabled {
        findings.push(Finding::warning(
            "throttle.enabled",
            "there are no limits: anybody may guess passwords as fast as they can be hashed",
            "set it to true; false is for tests",
        ));
    }
    let mut proxies = config.http.trusted_proxies.iter();
    if let Some(anybody) = proxies.find(|proxy| proxy.is_anybody()) {
        findings.push(Finding::warning(
            "http.trusted_proxies",
            format!(
                "{anybody} is everybody: each client says by X-Forwarded-For who he is, and limits \
                 by address hold for nobody"
            ),
            "name the addresses of your proxies and nobody else's",
        ));
    }
}

/// Single modules may say more, such as the audit log at `debug`.
fn log(config: &Config, findings: &mut Vec<Finding>) {
    let filter = config.log.level.to_string();
    let level = filter.split(',').next().unwrap_or_default();
    if matches!(level, "debug" | "trace") {
        findings.push(Finding::warning(
            "log.level",
            format!("{level} logs what is refused too: anybody can fill the disk that it is on"),
            "set it to info; what is needed for a while is set by PUT /log-level of the admin \
             listener",
        ));
    }
}

/// What is read on the way to PostgreSQL, or by who pretends to be it.
fn database(config: &Config, findings: &mut Vec<Finding>) {
    let url = match &config.database.url {
        DatabaseUrl::Postgres(url) => Some(url),
        DatabaseUrl::Sqlite => None,
    };
    let replicas = config.database.replicas.iter().map(ReplicaUrl::server);
    let keys = std::iter::once("database.url").chain(std::iter::repeat("database.replicas"));
    for (check, url) in keys.zip(url.into_iter().chain(replicas)) {
        if url.is_local() || url.ssl_mode() == SslMode::VerifyFull {
            continue;
        }
        findings.push(Finding::warning(
            check,
            format!(
                "sslmode={}: whoever is between us and the server can read, or pretend to be it",
                url.ssl_mode().as_str()
            ),
            "write sslmode=verify-full, and set database.tls_ca",
        ));
    }
}

fn is_open(address: &SocketAddr) -> bool {
    !address.ip().to_canonical().is_loopback()
}
