//! `healthcheck`: for container runtimes and people in a hurry.

use std::{
    io::{Read, Write},
    net::{Ipv6Addr, SocketAddr, TcpStream},
    time::Duration,
};

use sso_config::Sections;

use crate::{Configured, Exit, Failed};

/// Longest answer that is read.
const MAX_ANSWER: u64 = 64 * 1024;

/// Asks `/<program>/ready` of the configured address; what it says.
pub(super) fn run<C: Configured + Sections>(
    config: &C,
    timeout: Duration,
) -> Result<String, Failed> {
    let address = loopback(config.common().http.listen);
    let answer = ask(address, C::PROGRAM, timeout).map_err(|error| {
        let text = format!("no answer from http://{address}: {error}");
        Failed::new(Exit::Unavailable, text)
    })?;
    let body = answer.split("\r\n\r\n").nth(1).unwrap_or_default().trim();
    if answer.split(' ').nth(1) == Some("200") {
        Ok(body.to_owned())
    } else {
        Err(Failed::new(Exit::Failure, format!("not ready: {body}")))
    }
}

/// One request of HTTP/1.0, so that the body comes as it is and the server closes.
fn ask(address: SocketAddr, program: &str, timeout: Duration) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, timeout)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    let request = format!("GET /{program}/ready HTTP/1.0\r\nhost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// A server that listens on every address is asked on loopback.
fn loopback(listen: SocketAddr) -> SocketAddr {
    match listen {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => ([127, 0, 0, 1], v4.port()).into(),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => (Ipv6Addr::LOCALHOST, v6.port()).into(),
        listen => listen,
    }
}
