//! What every answer tells browsers.

use anyhow::Result;
use sso_testkit::{http::Http, process::Server};

use super::{
    exchange, get,
    tls::{Secured, connect},
};
use crate::support::site;

const TRANSPORT: &str = "strict-transport-security";

/// A listener, and paths of it: answers with and without success, JSON, pages, a redirect, metrics.
fn answers(server: &Server) -> Vec<(Http, &'static str)> {
    let mut answers = Vec::new();
    for path in [
        "/auth/ready",
        "/auth/info",
        "/auth/nothing",
        "/.well-known/jwks.json",
        "/swagger",
        "/swagger/index.html",
        "/swagger/doc.json",
    ] {
        answers.push((server.http.clone(), path));
    }
    for path in ["/sw", "/sw/", "/sw/doc.json", "/sso/login", "/nothing"] {
        answers.push((server.grpc_json(), path));
    }
    for path in ["/metrics", "/auth/ready", "/log-level", "/nothing"] {
        answers.push((server.admin.clone(), path));
    }
    answers
}

#[tokio::test]
async fn no_answer_may_be_framed_sniffed_or_do_more_than_it_says() -> Result<()> {
    let server = site()?.serve().await?;
    for (listener, path) in answers(&server) {
        let reply = listener.get(path, None).await?;
        for (name, expected) in [
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
        ] {
            assert_eq!(reply.header(name), expected, "{name} of {path}");
        }
        let policy = reply.header("content-security-policy");
        assert!(
            policy.contains("frame-ancestors 'none'"),
            "{path}: {policy}"
        );
        let page = path.starts_with("/sw") && reply.status == 200;
        let nothing = policy.starts_with("default-src 'none'; frame-ancestors");
        assert!(page || nothing, "{path}: {policy}");
        // Nobody comes by TLS here.
        assert_eq!(reply.header(TRANSPORT), "", "{path}");
    }
    Ok(())
}

#[tokio::test]
async fn behind_a_proxy_that_speaks_tls_browsers_are_told_to_come_by_it() -> Result<()> {
    let mut site = site()?;
    site.set("SSO__HTTP__PUBLIC_URL", "https://sso.example.com");
    let server = site.serve().await?;
    for path in ["/auth/ready", "/auth/info", "/swagger/index.html"] {
        let reply = server.http.get(path, None).await?;
        assert_eq!(reply.header(TRANSPORT), "max-age=31536000", "{path}");
    }
    // That URL is not of these.
    for reply in [
        server.grpc_json().get("/sw/", None).await?,
        server.admin.get("/metrics", None).await?,
    ] {
        assert_eq!(reply.header(TRANSPORT), "");
    }
    Ok(())
}

#[tokio::test]
async fn a_listener_with_tls_tells_browsers_to_stay_with_it() -> Result<()> {
    let secured = Secured::new(&["http", "grpc", "admin"])?;
    let server = secured.site.serve_checked().await?;
    for (address, path) in [
        (server.http_address, "/auth/healthz"),
        (server.grpc_address, "/sw/doc.json"),
        (server.admin_address, "/metrics"),
    ] {
        let mut stream = connect(address, secured.client(None)?).await?;
        let answer = exchange(&mut stream, get(path)).await?;
        let line = format!("\r\n{TRANSPORT}: max-age=31536000\r\n");
        assert!(answer.contains(&line), "{path}: {answer}");
    }
    Ok(())
}
