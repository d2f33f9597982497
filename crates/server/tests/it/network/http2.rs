//! HTTP/2, frame by frame.

use std::{net::SocketAddr, path::Path, process::Stdio, time::Duration};

use anyhow::{Context, Result, ensure};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::{PATIENCE, a_newcomer_is_served, sockets, tls::Secured};
use crate::support::{eventually_within, site};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// `GET /` of `localhost` by indices of HPACK's static table, RFC 7541, appendix A.
const GET: &[u8] = b"\x82\x84\x86\x41\x09localhost";
/// The same as `POST`.
const POST: &[u8] = b"\x83\x84\x86\x41\x09localhost";

/// A frame, RFC 9113, section 4.1.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len())
        .unwrap_or_default()
        .to_be_bytes();
    let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
    [head, payload.to_vec()].concat()
}

/// A connection over which nothing was asked yet.
async fn open(server: &sso_testkit::process::Server) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(server.http_address).await?;
    let start = [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
    stream.write_all(&start).await?;
    Ok(stream)
}

/// Kinds of the frames that come until the connection ends.
async fn frames(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // A reset is an end, too.
    let _ = timeout(PATIENCE, stream.read_to_end(&mut bytes))
        .await
        .context("the connection is not ended")?;
    let mut kinds = Vec::new();
    let mut rest = &bytes[..];
    while let [a, b, c, kind, _, _, _, _, _, after @ ..] = rest {
        kinds.push(*kind);
        let length = usize::try_from(u32::from_be_bytes([0, *a, *b, *c]))?;
        rest = after.get(length..).unwrap_or_default();
    }
    Ok(kinds)
}

/// Sends until the other end has had enough; the kinds of the frames that it sent.
async fn flood(
    stream: TcpStream,
    mut next: impl FnMut(u32) -> Vec<u8> + Send + 'static,
) -> Result<Vec<u8>> {
    let (mut reader, mut writer) = stream.into_split();
    let writing = tokio::spawn(async move {
        let mut id = 1;
        while writer.write_all(&next(id)).await.is_ok() {
            id += 2;
            // Streams are numbered with 31 bits.
            if id > 2_000_000 {
                break;
            }
        }
    });
    let kinds = frames(&mut reader).await;
    writing.abort();
    kinds
}

#[tokio::test]
async fn rapid_resets_end_the_connection_and_disturb_nobody() -> Result<()> {
    let site = site()?;
    let server = site.serve().await?;
    let mut attacks = Vec::new();
    for _ in 0..4 {
        let stream = open(&server).await?;
        attacks.push(tokio::spawn(flood(stream, |id| {
            let open = frame(HEADERS, END_STREAM | END_HEADERS, id, GET);
            [open, frame(RST_STREAM, 0, id, &[0, 0, 0, 8])].concat()
        })));
    }
    a_newcomer_is_served(&server).await?;
    for attack in attacks {
        let kinds = attack.await??;
        ensure!(kinds.contains(&GOAWAY), "{kinds:?}");
    }
    a_newcomer_is_served(&server).await
}

#[tokio::test]
async fn more_streams_than_allowed_are_refused_and_too_many_of_them_end_the_connection()
-> Result<()> {
    let mut site = site()?;
    site.set("SSO__HTTP__REQUEST_TIMEOUT", "30s");
    let server = site.serve().await?;
    let mut stream = open(&server).await?;
    // Requests whose bodies never come: 250 are allowed.
    let ask = |number: u32| frame(HEADERS, END_HEADERS, number * 2 + 1, POST);
    stream
        .write_all(&(0..260).flat_map(ask).collect::<Vec<_>>())
        .await?;
    let mut refused = 0;
    while refused < 10 {
        let mut head = [0; 9];
        timeout(PATIENCE, stream.read_exact(&mut head)).await??;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(length)?];
        stream.read_exact(&mut payload).await?;
        // REFUSED_STREAM, RFC 9113, section 7.
        refused += usize::from(head[3] == RST_STREAM && payload == [0, 0, 0, 7]);
    }
    a_newcomer_is_served(&server).await?;
    stream
        .write_all(&(260..400).flat_map(ask).collect::<Vec<_>>())
        .await?;
    ensure!(frames(&mut stream).await?.contains(&GOAWAY));
    a_newcomer_is_served(&server).await
}

#[tokio::test]
async fn heads_that_never_end_are_cut_off() -> Result<()> {
    let site = site()?;
    let server = site.serve().await?;
    let mut stream = open(&server).await?;
    stream
        .write_all(&frame(HEADERS, END_STREAM, 1, GET))
        .await?;
    // A literal header without indexing, again and again.
    let more = frame(CONTINUATION, 0, 1, &b"\x00\x01x\x01y".repeat(2000));
    let kinds = flood(stream, move |_| more.clone()).await?;
    ensure!(kinds.contains(&GOAWAY), "{kinds:?}");
    a_newcomer_is_served(&server).await
}

#[tokio::test]
async fn a_head_of_a_megabyte_is_refused() -> Result<()> {
    let site = site()?;
    let server = site.serve().await?;
    for address in [server.http_address, server.grpc_address] {
        let (mut requests, connection) =
            h2::client::handshake(TcpStream::connect(address).await?).await?;
        let driver = tokio::spawn(connection);
        let long = http::Request::get("http://localhost/auth/healthz")
            .header("x-long", "x".repeat(1_000_000))
            .body(())?;
        let answer = match requests.send_request(long, true) {
            Ok((answer, _)) => timeout(PATIENCE, answer).await?.ok(),
            Err(_) => None,
        };
        let status = answer.map(|answer| answer.status().as_u16());
        ensure!(matches!(status, None | Some(431)), "{status:?}");
        driver.abort();
        a_newcomer_is_served(&server).await?;
    }
    Ok(())
}

#[tokio::test]
async fn slow_heads_and_bodies_disturb_nobody_and_end() -> Result<()> {
    let mut site = site()?;
    site.set("SSO__HTTP__REQUEST_TIMEOUT", "8s");
    let server = site.serve().await?;
    let before = sockets(&server)?;
    let mut held = Vec::new();
    for number in 0..200 {
        let mut stream = open(&server).await?;
        let started = match number % 2 {
            0 => frame(HEADERS, END_STREAM, 1, GET),
            _ => [
                frame(HEADERS, END_HEADERS, 1, POST),
                frame(DATA, 0, 1, b"{"),
            ]
            .concat(),
        };
        stream.write_all(&started).await?;
        held.push(stream);
    }
    a_newcomer_is_served(&server).await?;
    // A ping that is not answered, because no frame may stand inside a head, ends the one kind; the
    // other kind does not answer either.
    let gone = async || Ok(sockets(&server)? <= before + 1);
    eventually_within(Duration::from_mins(2), "they are dropped", gone).await?;
    a_newcomer_is_served(&server).await
}

/// <https://github.com/summerwind/h2spec>, from the PATH or as `cargo xtask test` builds it.
fn h2spec() -> Result<std::process::Command> {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/h2spec");
    for program in [Path::new("h2spec"), &built] {
        let mut command = std::process::Command::new(program);
        let version = command.arg("--version").stdout(Stdio::null()).status();
        if version.is_ok_and(|status| status.success()) {
            return Ok(std::process::Command::new(program));
        }
    }
    anyhow::bail!("h2spec is missing: `cargo xtask test` builds it where there is Go")
}

fn h2spec_passes(address: SocketAddr, more: &[&str]) -> Result<()> {
    let (host, port) = (address.ip().to_string(), address.port().to_string());
    let output = h2spec()?
        .args(["--host", &host, "--port", &port, "--timeout", "5"])
        .args(more)
        .output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(said.contains("145 tests, 145 passed"), "{more:?}: {said}");
    Ok(())
}

#[tokio::test]
async fn h2spec_finds_no_failure() -> Result<()> {
    let secured = Secured::new(&["http"])?;
    let server = secured.site.serve_checked().await?;
    for path in ["/auth/healthz", "/auth/login", "/"] {
        h2spec_passes(
            server.http_address,
            &["--tls", "--insecure", "--path", path],
        )?;
        h2spec_passes(server.grpc_address, &["--path", path])?;
    }
    h2spec_passes(server.admin_address, &["--path", "/metrics"])
}
