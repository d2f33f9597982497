//! Pages of other origins.

use anyhow::Result;
use http::{Method, StatusCode};
use sso_testkit::{http::Reply, process::Server};

use crate::support::site;

const OURS: &str = "https://app.example.com";

async fn preflight(server: &Server, origin: &str, path: &str) -> Result<Reply> {
    let headers = [
        ("origin", origin),
        ("access-control-request-method", "POST"),
        (
            "access-control-request-headers",
            "authorization,content-type",
        ),
    ];
    server.http.send(Method::OPTIONS, path, &headers, "").await
}

async fn post(server: &Server, origin: &str) -> Result<Reply> {
    let headers = [("origin", origin), ("content-type", "application/json")];
    server
        .http
        .send(Method::POST, "/auth/login", &headers, "{}")
        .await
}

fn words(list: &str) -> Vec<String> {
    let mut words: Vec<_> = list
        .split(',')
        .map(|word| word.trim().to_lowercase())
        .collect();
    words.sort();
    words
}

#[tokio::test]
async fn a_page_of_a_configured_origin_may_ask_and_read() -> Result<()> {
    let mut site = site()?;
    site.set(
        "SSO__HTTP__CORS_ORIGINS",
        format!("https://other.example, {OURS}"),
    );
    let server = site.serve().await?;
    for path in ["/auth/login", "/auth/info", "/auth/sessions/x", "/nowhere"] {
        let reply = preflight(&server, OURS, path).await?;
        assert!(reply.status.is_success(), "{path}: {}", reply.status);
        assert_eq!(reply.header("access-control-allow-origin"), OURS);
        assert_eq!(
            words(reply.header("access-control-allow-methods")),
            ["delete", "get", "head", "post"]
        );
        assert_eq!(
            words(reply.header("access-control-allow-headers")),
            [
                "authorization",
                "content-encoding",
                "content-type",
                "idempotency-key",
                "traceparent",
                "tracestate",
                "x-request-id"
            ]
        );
        assert_eq!(reply.header("access-control-max-age"), "600");
        assert_eq!(reply.header("access-control-allow-credentials"), "");
        assert!(!reply.header("x-request-id").is_empty());
    }
    // An error is to be read, too.
    let reply = post(&server, OURS).await?;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    assert_eq!(reply.header("access-control-allow-origin"), OURS);
    assert!(words(reply.header("vary")).contains(&"origin".to_owned()));
    let exposed = words(reply.header("access-control-expose-headers"));
    for name in ["x-request-id", "x-revocation", "retry-after"] {
        assert!(exposed.contains(&name.to_owned()), "{exposed:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_page_of_another_origin_learns_nothing() -> Result<()> {
    let mut site = site()?;
    site.set("SSO__HTTP__CORS_ORIGINS", OURS);
    let server = site.serve().await?;
    for origin in [
        "https://evil.example",
        "null",
        "*",
        "http://app.example.com",
        "https://app.example.com:444",
        "https://APP.example.com",
        "https://app.example.com.evil.example",
    ] {
        for reply in [
            preflight(&server, origin, "/auth/login").await?,
            post(&server, origin).await?,
        ] {
            assert_eq!(reply.header("access-control-allow-origin"), "", "{origin}");
        }
    }
    // Whether an answer may be given to another origin is said of every one.
    let plain = server.http.get("/auth/healthz", None).await?;
    assert!(words(plain.header("vary")).contains(&"origin".to_owned()));
    Ok(())
}

#[tokio::test]
async fn an_options_that_is_no_preflight_is_refused_as_ever() -> Result<()> {
    let mut with = site()?;
    with.set("SSO__HTTP__CORS_ORIGINS", OURS);
    let server = with.serve().await?;
    let options = async |server: &Server, path: &str, headers: &[(&str, &str)]| {
        server.http.send(Method::OPTIONS, path, headers, "").await
    };
    for headers in [&[][..], &[("origin", OURS)]] {
        let reply = options(&server, "/auth/login", headers).await?;
        assert_eq!(reply.status, StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(reply.header("allow"), "POST");
        let reply = options(&server, "/nowhere", headers).await?;
        assert_eq!(reply.status, StatusCode::NOT_FOUND);
    }
    let without = site()?;
    let server = without.serve().await?;
    let reply = preflight(&server, OURS, "/auth/login").await?;
    assert_eq!(reply.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(post(&server, OURS).await?.header("vary"), "");
    Ok(())
}
