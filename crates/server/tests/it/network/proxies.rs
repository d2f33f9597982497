//! Whom the service believes when he says for whom he asks.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use sso_testkit::process::{Server, Site};
use tokio::net::TcpStream;

use super::{exchange, get, request};
use crate::support::site;

/// The address that a session shows, of a user who registered by these bytes before a request with
/// these headers.
async fn seen(server: &Server, before: &[u8], headers: &str) -> Result<String> {
    static NUMBER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let body = json!({
        "email": format!("user{number}@example.com"),
        "password": "a password like no other",
    });
    let asked = request("POST", "/auth/registration", headers, &body.to_string());
    let mut stream = TcpStream::connect(server.http_address).await?;
    let answer = exchange(&mut stream, [before, asked.as_bytes()].concat()).await?;
    let token = json_of(&answer)?["access_token"].clone();
    let token = token.as_str().context("no token")?;

    let bearer = format!("authorization: Bearer {token}\r\n");
    let asked = request("GET", "/auth/sessions", &bearer, "");
    let mut stream = TcpStream::connect(server.http_address).await?;
    let answer = exchange(&mut stream, [before, asked.as_bytes()].concat()).await?;
    let address = &json_of(&answer)?["sessions"][0]["address"];
    Ok(address.as_str().context("no address")?.to_owned())
}

fn json_of(answer: &str) -> Result<Value> {
    let body = answer.split("\r\n\r\n").nth(1).unwrap_or_default();
    serde_json::from_str(body).with_context(|| format!("no JSON: {answer:?}"))
}

/// Version 2 for 198.51.100.9.
fn binary() -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    header.extend([198, 51, 100, 9, 127, 0, 0, 1, 0x11, 0x11, 0x1f, 0x40]);
    header
}

const LINE: &[u8] = b"PROXY TCP4 198.51.100.8 127.0.0.1 4711 8000\r\n";

fn behind(proxies: &str) -> Result<Site> {
    let mut site = site()?;
    site.set("SSO__HTTP__TRUSTED_PROXIES", proxies);
    Ok(site)
}

#[tokio::test]
async fn x_forwarded_for_from_an_untrusted_peer_changes_nothing() -> Result<()> {
    for site in [site()?, behind("10.0.0.0/8,192.0.2.1")?] {
        let server = site.serve().await?;
        for headers in [
            "x-forwarded-for: 198.51.100.7\r\n",
            "x-forwarded-for: 198.51.100.7, 10.0.0.1\r\n",
            "forwarded: for=198.51.100.7\r\nx-real-ip: 198.51.100.7\r\n",
        ] {
            assert_eq!(seen(&server, b"", headers).await?, "127.0.0.1", "{headers}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn behind_trusted_proxies_the_client_is_the_rightmost_hop_that_is_none() -> Result<()> {
    let site = behind("127.0.0.0/8,10.0.0.0/8")?;
    let server = site.serve().await?;
    for (headers, expected) in [
        ("", "127.0.0.1"),
        ("x-forwarded-for: 198.51.100.7\r\n", "198.51.100.7"),
        (
            "x-forwarded-for: 203.0.113.1, 198.51.100.7\r\n",
            "198.51.100.7",
        ),
        (
            "x-forwarded-for: 203.0.113.1, 198.51.100.7, 10.1.2.3\r\n",
            "198.51.100.7",
        ),
        (
            "x-forwarded-for: 203.0.113.1\r\nx-forwarded-for: 2001:db8::7\r\n",
            "2001:db8::7",
        ),
        ("forwarded: for=198.51.100.7\r\n", "127.0.0.1"),
        ("x-forwarded-for: not an address\r\n", "127.0.0.1"),
    ] {
        assert_eq!(seen(&server, b"", headers).await?, expected, "{headers}");
    }
    Ok(())
}

#[tokio::test]
async fn a_trusted_proxy_names_the_client_by_the_proxy_protocol_and_must() -> Result<()> {
    let mut site = behind("127.0.0.1,198.51.100.8")?;
    site.set("SSO__HTTP__PROXY_PROTOCOL", true);
    let server = site.serve_checked().await?;
    let forwarded = "x-forwarded-for: 203.0.113.1\r\n";
    assert_eq!(seen(&server, &binary(), "").await?, "198.51.100.9");
    assert_eq!(seen(&server, &binary(), forwarded).await?, "198.51.100.9");
    assert_eq!(seen(&server, LINE, "").await?, "198.51.100.8");
    // That one is a proxy too: it is asked for whom it speaks.
    assert_eq!(seen(&server, LINE, forwarded).await?, "203.0.113.1");
    assert_eq!(seen(&server, b"PROXY UNKNOWN\r\n", "").await?, "127.0.0.1");
    let mut stream = TcpStream::connect(server.http_address).await?;
    assert_eq!(exchange(&mut stream, get("/auth/healthz")).await?, "");
    Ok(())
}

#[tokio::test]
async fn from_anybody_else_the_proxy_protocol_is_no_beginning_of_a_request() -> Result<()> {
    let mut on = behind("10.0.0.0/8")?;
    on.set("SSO__HTTP__PROXY_PROTOCOL", true);
    for site in [on, behind("127.0.0.1")?] {
        let server = site.serve().await?;
        for header in [LINE, &binary()[..]] {
            let mut stream = TcpStream::connect(server.http_address).await?;
            let asked = [header, get("/auth/healthz").as_bytes()].concat();
            let answer = exchange(&mut stream, asked).await?;
            assert!(!answer.contains(" 200 "), "{answer}");
        }
        assert_eq!(seen(&server, b"", "").await?, "127.0.0.1");
    }
    Ok(())
}

#[test]
fn what_would_trust_nobody_or_everybody_by_mistake_is_a_wrong_configuration() -> Result<()> {
    let mut site = site()?;
    site.set("SSO__HTTP__PROXY_PROTOCOL", true)
        .set("SSO__GRPC__PROXY_PROTOCOL", true)
        .set("SSO__HTTP__CORS_ORIGINS", "*");
    let output = site.run(&["serve"])?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(78), "{said}");
    for key in [
        "http.proxy_protocol",
        "grpc.proxy_protocol",
        "http.cors_origins",
    ] {
        assert!(said.contains(key), "{key} is not in {said}");
    }
    site.set("SSO__HTTP__TRUSTED_PROXIES", "10.0.0.1/8");
    let output = site.run(&["serve"])?;
    assert!(String::from_utf8_lossy(&output.stderr).contains("host bits are zero"));
    Ok(())
}
