//! `sso healthcheck`: for container runtimes and people in a hurry.

mod tls;

use std::{
    io::{Read, Write},
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

/// One request of HTTP/1.0, so that the body comes as it is and the server closes.
pub(super) fn ask(http: &Http, address: SocketAddr, timeout: Duration) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, timeout)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    let proxies: TrustedProxies = http.trusted_proxies.iter().map(|p| (*p).into()).collect();
    if http.proxy_protocol && proxies.contains(stream.local_addr()?.ip()) {
        stream.write_all(b"PROXY UNKNOWN\r\n")?;
    }
    if http.tls_cert.is_some() {
        exchange(tls::secure(stream)?)
    } else {
        exchange(stream)
    }
}

fn exchange(mut stream: impl Read + Write) -> std::io::Result<String> {
    stream.write_all(b"GET /auth/ready HTTP/1.0\r\nhost: localhost\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER).read_to_end(&mut answer)?;
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
