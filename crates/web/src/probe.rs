//! One question to a listener of our own, as a health check asks it.

use std::{
    io::{self, Read, Write},
    net::{Ipv6Addr, SocketAddr, TcpStream},
    time::Duration,
};

/// Longest answer to whether a server is ready that is read.
pub const MAX_ANSWER: u64 = 64 * 1024;

/// A server that listens on every address is asked on loopback.
pub fn loopback(listen: SocketAddr) -> SocketAddr {
    match listen {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => ([127, 0, 0, 1], v4.port()).into(),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => (Ipv6Addr::LOCALHOST, v6.port()).into(),
        listen => listen,
    }
}

/// A connection on which nothing takes longer than `timeout`.
pub fn connect(address: SocketAddr, timeout: Duration) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, timeout)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    Ok(stream)
}

/// The answer to one request, of `limit` bytes at most: of HTTP/1.0, so that the body comes as it is
/// and the server closes.
pub fn get(mut stream: impl Read + Write, path: &str, limit: u64) -> io::Result<String> {
    let request = format!("GET {path} HTTP/1.0\r\nhost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(limit).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// The body of an answer; an error, if its status is not 200.
pub fn ready(answer: &str) -> Result<&str, &str> {
    let body = answer.split("\r\n\r\n").nth(1).unwrap_or_default().trim();
    if answer.split(' ').nth(1) == Some("200") {
        Ok(body)
    } else {
        Err(body)
    }
}
