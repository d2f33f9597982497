//! `sso healthcheck`: for container runtimes and people in a hurry.

mod tls;

use std::{
    io::{self, Write},
    net::SocketAddr,
    time::Duration,
};

use clap::Args;
use sso_web::{
    probe::{self, MAX_ANSWER},
    proxies::TrustedProxies,
};

use super::output;
use crate::{
    config::{Loaded, section::Http},
    exit::{Exit, Failed},
};

#[derive(Debug, Args)]
pub(super) struct HealthcheckArgs {
    /// How long to wait, e.g. 2s.
    #[arg(long, default_value = "2s", value_parser = humantime::parse_duration)]
    timeout: Duration,
}

/// Asks `/auth/ready` of the configured address, as the configuration says: over TLS, or with a
/// PROXY header.
pub(super) fn run(loaded: &Loaded, args: &HealthcheckArgs) -> Result<Exit, Failed> {
    let http = &loaded.config.http;
    let address = probe::loopback(http.listen);
    let scheme = if http.tls_cert.is_some() {
        "https"
    } else {
        "http"
    };
    let answer = ask(http, address, args.timeout).map_err(|error| {
        Failed::new(
            Exit::Unavailable,
            format!("no answer from {scheme}://{address}: {error}"),
        )
    })?;
    match probe::ready(&answer) {
        Ok(body) => {
            output::print_line(body);
            Ok(Exit::Success)
        }
        Err("") => {
            let said = said(&answer);
            let text = format!("not ready: {scheme}://{address} answers {said}");
            Err(Failed::new(Exit::Failure, text))
        }
        Err(body) => Err(Failed::new(Exit::Failure, format!("not ready: {body}"))),
    }
}

/// An answer in one line, where it is none that says whether the server is ready.
pub(super) fn said(answer: &str) -> &str {
    match answer.lines().next() {
        Some(line) if line.starts_with("HTTP/") => line,
        // A listener that speaks TLS has its own words for who does not.
        _ => {
            "no HTTP: is the server started with this configuration? http.tls_cert says whether it \
             speaks TLS"
        }
    }
}

/// Asks the public HTTP listener at `address` whether the server is ready.
pub(super) fn ask(http: &Http, address: SocketAddr, timeout: Duration) -> io::Result<String> {
    Door::of_http(http, address).get("/auth/ready", timeout, MAX_ANSWER)
}

/// How one of our own listeners is spoken to.
#[derive(Debug, Clone)]
pub(super) struct Door {
    /// Where it listens.
    pub(super) address: SocketAddr,
    /// Whether it speaks TLS.
    pub(super) tls: bool,
    /// Who begins with a header of the PROXY protocol.
    pub(super) proxies: TrustedProxies,
}

impl Door {
    /// The public HTTP listener, reached at `address`.
    pub(super) fn of_http(http: &Http, address: SocketAddr) -> Self {
        let proxies = (http.trusted_proxies.iter()).filter(|_| http.proxy_protocol);
        Self {
            address,
            tls: http.tls_cert.is_some(),
            proxies: proxies.map(|proxy| (*proxy).into()).collect(),
        }
    }

    /// The answer to one request, of `limit` bytes at most.
    pub(super) fn get(&self, path: &str, timeout: Duration, limit: u64) -> io::Result<String> {
        let mut stream = probe::connect(self.address, timeout)?;
        if self.proxies.contains(stream.local_addr()?.ip()) {
            stream.write_all(b"PROXY UNKNOWN\r\n")?;
        }
        if self.tls {
            probe::get(tls::secure(stream)?, path, limit)
        } else {
            probe::get(stream, path, limit)
        }
    }
}
