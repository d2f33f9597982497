//! Those who hold a connection, and everybody else meanwhile.

use std::time::Duration;

use anyhow::{Result, ensure};
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::{io::AsyncWriteExt, net::TcpStream, task::JoinSet};

use super::{
    PATIENCE, a_newcomer_is_served, connect_from, exchange, get, read_to_end, request, sockets,
};
use crate::support::{eventually_within, site};

const MADE_ROOM: &str = r#"sso_connections_dropped_total{listener="http",reason="made_room"}"#;
const STALLED: &str = r#"sso_connections_dropped_total{listener="http",reason="stalled"}"#;

/// Sends a byte each 50 ms until the other end closes; what it said.
async fn trickle(mut stream: TcpStream, first: &[u8]) -> Result<String> {
    stream.write_all(first).await?;
    let (mut reader, mut writer) = stream.into_split();
    let writing = tokio::spawn(async move {
        while writer.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    let answer = read_to_end(&mut reader).await;
    writing.abort();
    answer
}

/// Runs many of those who never come to an end, and a newcomer beside them; what they were told.
async fn beside(settings: &[(&str, &str)], first: &'static [u8]) -> Result<Vec<String>> {
    let mut site = site()?;
    for (name, value) in settings {
        site.set(name, value);
    }
    let server = site.serve().await?;
    let before = sockets(&server)?;
    let mut slow = JoinSet::new();
    for _ in 0..200 {
        let stream = TcpStream::connect(server.http_address).await?;
        slow.spawn(trickle(stream, first));
    }
    a_newcomer_is_served(&server).await?;
    let mut told = Vec::new();
    while let Some(answer) = slow.join_next().await {
        told.push(answer??);
        if told.len() % 50 == 1 {
            a_newcomer_is_served(&server).await?;
        }
    }
    let gone = async || Ok(sockets(&server)? <= before + 1);
    eventually_within(PATIENCE, "the sockets are closed", gone).await?;
    Ok(told)
}

#[tokio::test]
async fn slow_heads_end_at_the_header_timeout() -> Result<()> {
    let head = b"GET /auth/healthz HTTP/1.1\r\nhost: localhost\r\nx-slow: ";
    let told = beside(&[("SSO__HTTP__HEADER_TIMEOUT", "8s")], head).await?;
    assert!(told.iter().all(|answer| !answer.contains(" 200 ")));
    Ok(())
}

#[tokio::test]
async fn slow_bodies_end_at_the_request_timeout() -> Result<()> {
    let head = b"POST /auth/login HTTP/1.1\r\nhost: localhost\r\n\
                 content-type: application/json\r\ncontent-length: 60000\r\n\r\n{";
    // An acknowledgement must be quicker than a request.
    let settings = [
        ("SSO__HTTP__REQUEST_TIMEOUT", "8s"),
        ("SSO__REVOCATION__ACK_WAIT", "500ms"),
    ];
    let told = beside(&settings, head).await?;
    assert!(told.iter().all(|answer| answer.starts_with("HTTP/1.1 504")));
    Ok(())
}

#[tokio::test]
async fn slow_prefaces_of_http2_end_at_the_header_timeout() -> Result<()> {
    let mut site = site()?;
    site.set("SSO__HTTP__HEADER_TIMEOUT", "8s");
    let server = site.serve().await?;
    let mut slow = JoinSet::new();
    for _ in 0..200 {
        let mut stream = TcpStream::connect(server.http_address).await?;
        slow.spawn(async move { exchange(&mut stream, b"PRI * HTTP/2.0\r\n").await });
    }
    a_newcomer_is_served(&server).await?;
    while let Some(answer) = slow.join_next().await {
        assert_eq!(answer??, "");
    }
    a_newcomer_is_served(&server).await
}

#[tokio::test]
async fn one_address_holds_no_more_than_its_share_and_is_served_itself() -> Result<()> {
    let mut site = site()?;
    site.set("SSO__HTTP__MAX_CONNECTIONS_PER_ADDRESS", 8)
        .set("SSO__HTTP__HEADER_TIMEOUT", "1m");
    let server = site.serve().await?;
    let mut neighbour = connect_from(2, server.http_address).await?;
    let mut holders = JoinSet::new();
    for _ in 0..20 {
        let mut holder = TcpStream::connect(server.http_address).await?;
        holders.spawn(async move { read_to_end(&mut holder).await });
    }
    // The most of them had to go, and a newcomer of the same address is served.
    // One that comes while they are still accepted may be among those that go.
    let welcome = async || Ok(a_newcomer_is_served(&server).await.is_ok());
    crate::support::eventually("a newcomer is served", welcome).await?;
    for _ in 0..12 {
        let told = holders.join_next().await;
        assert_eq!(told.transpose()?.transpose()?.as_deref(), Some(""));
    }
    assert!(server.admin.metric::<u64>(MADE_ROOM).await? >= 12);
    let answer = exchange(&mut neighbour, get("/auth/healthz")).await?;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    Ok(())
}

#[tokio::test]
async fn trusted_proxies_may_have_any_number_of_connections() -> Result<()> {
    let mut site = site()?;
    site.set("SSO__HTTP__MAX_CONNECTIONS_PER_ADDRESS", 2)
        .set("SSO__HTTP__HEADER_TIMEOUT", "1m")
        .set("SSO__HTTP__TRUSTED_PROXIES", "127.0.0.1");
    let server = site.serve().await?;
    let mut held = Vec::new();
    for _ in 0..20 {
        held.push(TcpStream::connect(server.http_address).await?);
    }
    for mut stream in held {
        let answer = exchange(&mut stream, get("/auth/healthz")).await?;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beside_10_000_idle_connections_others_are_served() -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    let raised = rustix::process::Rlimit {
        current: limit.maximum,
        ..limit
    };
    setrlimit(Resource::Nofile, raised)?;
    // What this machine allows, if that is less: this process has other tests to run.
    let allowed = limit.maximum.unwrap_or(u64::MAX).saturating_sub(1000);
    let count = usize::try_from(allowed)?.min(10_500);

    let mut site = site()?;
    site.set("SSO__HTTP__HEADER_TIMEOUT", "5m");
    let server = site.serve().await?;
    let before = sockets(&server)?;
    let mut holders = Vec::new();
    for number in 0..count {
        // No address more than its share.
        let host = 2 + u8::try_from(number / 1000)?;
        holders.push(connect_from(host, server.http_address).await?);
        if number % 1000 == 999 {
            a_newcomer_is_served(&server).await?;
        }
    }
    // They are all there, but for those that made room for others, on a busy machine some more than
    // had to, and those that have been silent for too long by now.
    let held = async || {
        let mut known = sockets(&server)?;
        ensure!(known >= before + count / 2, "{known} of {count} are left");
        for series in [MADE_ROOM, STALLED] {
            known += server.admin.metric::<usize>(series).await?;
        }
        Ok(known >= before + count * 9 / 10)
    };
    eventually_within(PATIENCE, "idle connections are kept", held).await?;
    a_newcomer_is_served(&server).await?;
    assert!(
        server.resident_bytes()? < 400 << 20,
        "{}",
        server.resident_bytes()?
    );
    drop(holders);
    // But for those of this client.
    let gone = async || Ok(sockets(&server)? <= before + 2);
    eventually_within(PATIENCE, "the sockets are closed", gone).await?;
    a_newcomer_is_served(&server).await
}

#[tokio::test]
async fn heads_of_a_megabyte_are_refused() -> Result<()> {
    let site = site()?;
    let server = site.serve().await?;
    let long = format!("x-long: {}\r\n", "x".repeat(1_000_000));
    let many = "x-many: y\r\n".repeat(50_000);
    let target = format!("/{}", "x".repeat(1_000_000));
    for asked in [
        request("GET", "/auth/healthz", &long, ""),
        request("GET", "/auth/healthz", &many, ""),
        request("GET", &target, "", ""),
    ] {
        for address in [server.http_address, server.grpc_address] {
            let mut stream = TcpStream::connect(address).await?;
            let answer = exchange(&mut stream, &asked).await?;
            let refused = ["", "HTTP/1.1 431", "HTTP/1.1 414"];
            let start = answer.get(..12).unwrap_or_default();
            assert!(refused.contains(&start), "{start}");
            a_newcomer_is_served(&server).await?;
        }
    }
    Ok(())
}
