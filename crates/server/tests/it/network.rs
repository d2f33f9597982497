//! The listeners on a hostile network: TLS, proxies, other origins, and those who only hold on.

mod cors;
mod files;
mod holders;
mod http2;
mod proxies;
mod shield;
pub(crate) mod tls;

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use sso_testkit::{
    http::Http,
    process::{Server, Site},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a client may wait while others misbehave: no pause of a busy machine, and far less than
/// it takes until the misbehaving are gone.
const QUICK: Duration = Duration::from_secs(5);

/// Reads until the other end closes, or resets; what came.
async fn read_to_end(stream: &mut (impl AsyncRead + Unpin)) -> Result<String> {
    let mut answer = Vec::new();
    // A reset is an end, too.
    let _ = timeout(PATIENCE, stream.read_to_end(&mut answer))
        .await
        .context("the other end does not close")?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Sends bytes, and reads until the other end closes.
pub(crate) async fn exchange(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    sent: impl AsRef<[u8]>,
) -> Result<String> {
    // Whoever is refused early is not always read to the end.
    let _ = stream.write_all(sent.as_ref()).await;
    read_to_end(stream).await
}

/// A request whose connection ends with its answer.
pub(crate) fn request(method: &str, path: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
         content-length: {length}\r\n{headers}\r\n{body}"
    )
}

/// `GET` over a connection of its own.
fn get(path: &str) -> String {
    request("GET", path, "", "")
}

/// A connection from 127.0.0.`host`.
async fn connect_from(host: u8, to: SocketAddr) -> Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((Ipv4Addr::new(127, 0, 0, host), 0)))?;
    Ok(timeout(PATIENCE, socket.connect(to)).await??)
}

/// A newcomer, who needs the database and the kernel's backlog, is answered, and soon.
async fn a_newcomer_is_served(server: &Server) -> Result<()> {
    let started = Instant::now();
    let newcomer = Http::new(server.http_address);
    let reply = timeout(PATIENCE, newcomer.get("/auth/ready", None)).await;
    let reply = reply.context("no answer")??;
    ensure!(reply.status == 200, "{}", reply.status);
    let took = started.elapsed();
    ensure!(took < QUICK, "a newcomer waited {took:?}");
    Ok(())
}

/// Connections that the server has open.
fn sockets(server: &Server) -> Result<usize> {
    let descriptors = std::fs::read_dir(format!("/proc/{}/fd", server.pid()))?;
    let targets = descriptors.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    Ok(targets
        .filter(|target| target.to_string_lossy().starts_with("socket:"))
        .count())
}

fn value(text: &str, series: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(series));
    line.and_then(|value| value.trim().parse().ok())
        .unwrap_or_default()
}

/// The line of the log that says this.
fn logged(site: &Site, what: &str) -> Result<String> {
    let log = site.log()?;
    let line = log.lines().find(|line| line.contains(what));
    Ok(line
        .with_context(|| format!("{what:?} is not in:\n{log}"))?
        .to_owned())
}
