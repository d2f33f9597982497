//! `sso healthcheck`: for container runtimes and people in a hurry.

mod tls;

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use clap::Args;
use sso_web::proxies::TrustedProxies;

use super::output;
use crate::{
    config::{Loaded, section::Http},
    exit::{Exit, Failed},
};

/// Longest answer that is read.
const MAX_ANSWER: u64 = 64 * 1024;

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
    let address = loopback(http.listen);
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
    let body = answer.split("\r\n\r\n").nth(1).unwrap_or_default();
    if answer.split(' ').nth(1) == Some("200") {
        output::print_line(body.trim());
        return Ok(Exit::Success);
    }
    Err(Failed::new(
        Exit::Failure,
        format!("not ready: {}", body.trim()),
    ))
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

    /// The answer to one request, of `limit` bytes at most: of HTTP/1.0, so that the body comes as
    /// it is and the server closes.
    pub(super) fn get(&self, path: &str, timeout: Duration, limit: u64) -> io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&self.address, timeout)?;
        stream.set_read_timeout(Some(timeout))?;
        stream.set_write_timeout(Some(timeout))?;
        if self.proxies.contains(stream.local_addr()?.ip()) {
            stream.write_all(b"PROXY UNKNOWN\r\n")?;
        }
        if self.tls {
            exchange(tls::secure(stream)?, path, limit)
        } else {
            exchange(stream, path, limit)
        }
    }
}

fn exchange(mut stream: impl Read + Write, path: &str, limit: u64) -> io::Result<String> {
    let request = format!("GET {path} HTTP/1.0\r\nhost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(limit).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// A server that listens on every address is asked on loopback.
pub(super) fn loopback(listen: SocketAddr) -> SocketAddr {
    match listen {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => ([127, 0, 0, 1], v4.port()).into(),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => {
            (std::net::Ipv6Addr::LOCALHOST, v6.port()).into()
        }
        listen => listen,
    }
}
