//! The JSON form of the rpcs.

use std::io::Write;

use anyhow::Result;
use axum::http::{Method, Request};
use flate2::{Compression, write::GzEncoder};
use http_body_util::Full;
use serde_json::json;
use sso_testkit::http::Reply;

use crate::harness::{EMAIL, PASSWORD, Port, Refused};

fn credentials() -> serde_json::Value {
    json!({ "email": EMAIL, "password": PASSWORD })
}

#[tokio::test]
async fn every_rpc_is_served_as_json_on_both_of_its_paths() -> Result<()> {
    let port = Port::start().await?;
    for prefix in ["/sso/", "/auth.Auth/"] {
        let path = |short: &str, long: &str| match prefix {
            "/sso/" => format!("/sso/{short}"),
            _ => format!("/auth.Auth/{long}"),
        };
        let body = json!({ "email": format!("{}@b.example", prefix.len()), "password": PASSWORD });
        let registered = port.http.post(&path("register", "Register"), &body).await?;
        assert_eq!(registered.status, 200, "{:?}", registered.json());
        let user = registered.text("userId");

        let tokens = port.http.post(&path("login", "Login"), &body).await?;
        let body = json!({ "token": tokens.text("accessToken") });
        let valid = port.http.post(&path("validate", "Validate"), &body).await?;
        let session = valid.text("sessionId");
        assert_eq!(
            valid.json(),
            json!({
                "success": true,
                "userId": user,
                "sessionId": session,
                "expiresAt": "2026-01-01T00:15:00Z",
                "isAdmin": false,
                "version": "1",
            })
        );

        let body = json!({ "refresh_token": tokens.text("refreshToken") });
        let next = port.http.post(&path("refresh", "Refresh"), &body).await?;
        assert_eq!(next.status, 200);
        let body = json!({ "userId": user });
        let admin = port.http.post(&path("is-admin", "IsAdmin"), &body).await?;
        assert_eq!(admin.json(), json!({ "isAdmin": false }));

        let body = json!({ "token": next.text("accessToken") });
        let out = port.http.post(&path("logout", "Logout"), &body).await?;
        assert_eq!(out.json(), json!({ "success": true }));
        assert_eq!(out.header("x-revocation"), "everywhere");
        let after = port.http.post(&path("validate", "Validate"), &body).await?;
        assert_eq!(after.status, 401);
        assert_eq!(Refused::of_json(&after.json()).reason, "token_revoked");
    }
    Ok(())
}

#[tokio::test]
async fn answers_carry_the_headers_of_the_contract() -> Result<()> {
    let port = Port::start().await?;
    port.register().await?;
    let id = [("x-request-id", "an-id.of_mine-1")];
    let good = port
        .post_with("/sso/login", &id, credentials().to_string())
        .await?;
    let bad = port.post_with("/sso/login", &id, "{}").await?;
    for reply in [&good, &bad] {
        assert_eq!(reply.header("x-request-id"), "an-id.of_mine-1");
        assert_eq!(reply.header("x-content-type-options"), "nosniff");
        assert_eq!(reply.header("cache-control"), "no-store");
        assert_eq!(reply.header("content-type"), "application/json");
    }
    assert!(bad.json()["details"].as_array().unwrap().contains(&json!({
        "@type": "type.googleapis.com/google.rpc.RequestInfo",
        "requestId": "an-id.of_mine-1",
    })));
    let without = port.http.post("/sso/login", &json!({})).await?;
    assert_eq!(without.header("x-request-id"), "made-by-the-test");
    Ok(())
}

#[tokio::test]
async fn errors_are_a_status_with_the_code_of_the_table() -> Result<()> {
    let port = Port::start().await?;
    port.register().await?;
    let wrong = json!({ "email": EMAIL, "password": "another secret" });
    let unknown = json!({ "userId": "01932c07-9d2f-7cc4-8f7e-31b5d1a2a001" });
    for (path, body, status, code, reason) in [
        ("/sso/register", credentials(), 409, 6, "user_exists"),
        ("/sso/login", wrong, 401, 16, "invalid_credentials"),
        ("/sso/is-admin", unknown, 404, 5, "not_found"),
    ] {
        let reply = port.http.post(path, &body).await?;
        assert_eq!(reply.status, status);
        assert_eq!(reply.json()["code"], code);
        assert_eq!(Refused::of_json(&reply.json()).reason, reason);
    }
    Ok(())
}

#[tokio::test]
async fn only_application_json_is_read() -> Result<()> {
    let port = Port::start().await?;
    let body = credentials().to_string();
    for media_type in [
        "text/plain",
        "application/grpc",
        "application/grpc-web",
        "application/x-www-form-urlencoded",
        "",
    ] {
        let headers = [("content-type", media_type)];
        let reply = port
            .http
            .send(Method::POST, "/sso/login", &headers, body.clone())
            .await?;
        assert_eq!(reply.status, 415, "{media_type}");
        assert_eq!(
            Refused::of_json(&reply.json()).reason,
            "unsupported_media_type"
        );
    }
    let none = port
        .http
        .send(Method::POST, "/sso/login", &[], body.clone())
        .await?;
    assert_eq!(none.status, 415);
    let encoded = port
        .post_with("/sso/login", &[("content-encoding", "br")], body.clone())
        .await?;
    assert_eq!(encoded.status, 415);
    // 413 comes first where the length alone tells.
    let headers = [("content-type", "text/plain")];
    let long = ".".repeat(100_000);
    let reply = port
        .http
        .send(Method::POST, "/sso/login", &headers, long)
        .await?;
    assert_eq!(reply.status, 413);
    let headers = [("content-type", "Application/JSON; charset=UTF-8")];
    let good = port
        .http
        .send(Method::POST, "/sso/login", &headers, body)
        .await?;
    assert_eq!(good.status, 401);
    Ok(())
}

#[tokio::test]
async fn what_is_not_there_is_404_and_a_wrong_method_405_with_allow() -> Result<()> {
    let port = Port::start().await?;
    let check = |reply: &Reply, status: u16, reason: &str| {
        assert_eq!(reply.status, status);
        assert_eq!(Refused::of_json(&reply.json()).reason, reason);
    };
    for path in [
        "/",
        "/sso",
        "/sso/",
        "/sso/login/",
        "/sso/Login",
        "/auth.Auth",
        "/auth.Auth/Nothing",
        "/grpc.health.v1.Health/Watch",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "/sw/nothing.js",
        "/sw/../../etc/passwd",
    ] {
        let method = if path.starts_with("/sw/") {
            Method::GET
        } else {
            Method::POST
        };
        let headers = [("content-type", "application/json")];
        check(
            &port.http.send(method, path, &headers, "{}").await?,
            404,
            "not_found",
        );
    }
    for method in [Method::GET, Method::PUT, Method::DELETE, Method::OPTIONS] {
        let reply = port.http.send(method, "/sso/login", &[], "").await?;
        check(&reply, 405, "method_not_allowed");
        assert_eq!(reply.header("allow"), "POST");
    }
    let head = port.http.send(Method::HEAD, "/sso/login", &[], "").await?;
    assert_eq!(head.status, 405);
    let reply = port.http.post("/sw/doc.json", &json!({})).await?;
    check(&reply, 405, "method_not_allowed");
    assert_eq!(reply.header("allow"), "GET,HEAD");
    Ok(())
}

#[tokio::test]
async fn a_body_is_inflated_to_the_bound_and_no_further() -> Result<()> {
    let port = Port::start().await?;
    let gzip = |bytes: &[u8]| -> Result<Vec<u8>> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes)?;
        Ok(encoder.finish()?)
    };
    let headers = [("content-encoding", "gzip")];
    let body = gzip(credentials().to_string().as_bytes())?;
    let reply = port.post_with("/sso/register", &headers, body).await?;
    assert_eq!(reply.status, 200);
    let bomb = port
        .post_with("/sso/register", &headers, gzip(&vec![b' '; 10_000_000])?)
        .await?;
    assert_eq!(bomb.status, 413);
    let cut = port
        .post_with("/sso/register", &headers, gzip(b"{}")?[..12].to_vec())
        .await?;
    assert_eq!(cut.status, 400);
    Ok(())
}

#[tokio::test]
async fn json_is_served_over_http_2_too() -> Result<()> {
    let port = Port::start().await?;
    let request = Request::builder()
        .method(Method::POST)
        .uri(format!("http://{}/sso/register", port.address))
        .header("content-type", "application/json")
        .body(Full::new(credentials().to_string().into()))?;
    let answer = port.http2(request).await?;
    assert_eq!(answer.code, 200);
    let body: serde_json::Value = serde_json::from_slice(&answer.body)?;
    assert_eq!(body["userId"].as_str().map(str::len), Some(36));
    Ok(())
}

#[tokio::test]
async fn in_development_mode_only_requests_to_this_machine_are_served() -> Result<()> {
    let port = Port::with(|options| options.loopback_only = true).await?;
    let host = [("host", "evil.example")];
    let reply = port.post_with("/sso/login", &host, "{}").await?;
    assert_eq!(reply.status, 421);
    assert_eq!(
        Refused::of_json(&reply.json()).reason,
        "misdirected_request"
    );
    assert_eq!(
        port.http.send(Method::GET, "/sw/", &host, "").await?.status,
        421
    );
    assert_eq!(port.http.get("/sw/", None).await?.status, 200);
    assert_eq!(port.register().await?.len(), 36);
    Ok(())
}
