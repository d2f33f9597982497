//! Bad input of each kind on each route and rpc: the contract's code and body, never a 5xx, no
//! growth of memory.

use anyhow::{Result, ensure};
use http::Method;
use serde_json::Value;
use sso_testkit::{http::Reply, persona::Persona, process::Server};

use crate::support::site;

/// Every route and rpc that reads a body.
const HTTP: [&str; 5] = [
    "/auth/registration",
    "/auth/login",
    "/auth/refresh",
    "/auth/logout",
    "/auth/password",
];
const RPCS: [&str; 12] = [
    "/sso/register",
    "/sso/login",
    "/sso/refresh",
    "/sso/validate",
    "/sso/logout",
    "/sso/is-admin",
    "/auth.Auth/Register",
    "/auth.Auth/Login",
    "/auth.Auth/Refresh",
    "/auth.Auth/Validate",
    "/auth.Auth/Logout",
    "/auth.Auth/IsAdmin",
];

/// Bodies that no route may take.
fn malformed() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("empty", b"".to_vec()),
        ("not JSON", b"email=a&password=b".to_vec()),
        ("null", b"null".to_vec()),
        ("an array", b"[]".to_vec()),
        ("a string", b"\"x\"".to_vec()),
        ("cut off", b"{\"email\":".to_vec()),
        ("trailing garbage", b"{} {}".to_vec()),
        ("a byte order mark", b"\xef\xbb\xbf{}".to_vec()),
        ("invalid UTF-8", b"{\"email\":\"\xff\xfe\"}".to_vec()),
        (
            "invalid UTF-8 where nobody reads",
            b"{\"x\":\"\xff\xfe\"}".to_vec(),
        ),
        ("a lone surrogate", br#"{"email":"\ud800"}"#.to_vec()),
        ("NaN", b"{\"email\":NaN}".to_vec()),
        ("a comment", b"{/**/}".to_vec()),
        (
            "duplicate members",
            br#"{"token":"a","token":"a"}"#.to_vec(),
        ),
        (
            "duplicate members below",
            br#"{"x":{"a":1,"a":1}}"#.to_vec(),
        ),
        ("arrays in arrays", "[".repeat(30_000).into_bytes()),
        ("objects in objects", r#"{"a":"#.repeat(10_000).into_bytes()),
        ("100,000 levels", "[".repeat(100_000).into_bytes()),
    ]
}

/// Objects whose members are wrong for every route.
fn wrong_members() -> Vec<(&'static str, String)> {
    let all = |value: &str| {
        let names = [
            "email",
            "password",
            "token",
            "refresh_token",
            "user_id",
            "current_password",
            "new_password",
        ];
        let members: Vec<_> = names
            .iter()
            .map(|name| format!("\"{name}\":{value}"))
            .collect();
        format!("{{{}}}", members.join(","))
    };
    vec![
        ("missing", "{}".to_owned()),
        ("null", all("null")),
        ("numbers", all("1")),
        ("objects", all("{}")),
        ("arrays", all("[\"a\"]")),
        ("booleans", all("true")),
        ("empty strings", all("\"\"")),
    ]
}

fn refused(what: &str, path: &str, reply: &Reply, statuses: &[u16]) -> Result<()> {
    let status = reply.status.as_u16();
    ensure!(statuses.contains(&status), "{path}, {what}: {reply:?}");
    let body = reply.json();
    if path.starts_with("/auth/") {
        ensure!(body["status"] == "Error", "{path}, {what}: {reply:?}");
        for member in ["error", "code", "request_id"] {
            ensure!(
                body[member].is_string(),
                "{path}, {what}: no {member}: {reply:?}"
            );
        }
        ensure!(
            body["request_id"] == reply.header("x-request-id"),
            "{path}, {what}: {reply:?}"
        );
    } else {
        ensure!(
            body["code"].is_number() && body["message"].is_string(),
            "{path}, {what}: {reply:?}"
        );
    }
    Ok(())
}

async fn send(server: &Server, path: &str, token: &str, body: &[u8]) -> Result<Reply> {
    let port = if HTTP.contains(&path) {
        &server.http
    } else {
        &server.grpc_json()
    };
    let bearer = format!("Bearer {token}");
    let headers = [
        ("content-type", "application/json"),
        ("authorization", bearer.as_str()),
    ];
    port.send(Method::POST, path, &headers, body.to_vec()).await
}

#[tokio::test]
async fn bad_bodies_are_refused_by_every_route_and_rpc() -> Result<()> {
    let site = site()?;
    let server = site.serve().await?;
    let alice = Persona::register(&server.http, "alice").await?;
    for path in HTTP.iter().chain(&RPCS) {
        for (what, body) in malformed() {
            let reply = send(&server, path, &alice.access, &body).await?;
            refused(what, path, &reply, &[400, 413])?;
        }
        for (what, body) in wrong_members() {
            let reply = send(&server, path, &alice.access, body.as_bytes()).await?;
            refused(what, path, &reply, &[400])?;
            if HTTP.contains(path) {
                let named = reply.json()["fields"].as_array().map_or(0, Vec::len);
                let wanted = if path.ends_with("refresh") || path.ends_with("logout") {
                    1
                } else {
                    2
                };
                ensure!(
                    named == wanted,
                    "{path}, {what}: not every bad field is named: {reply:?}"
                );
            }
        }
        let large = format!(r#"{{"token":"{}"}}"#, ".".repeat(1 << 20));
        refused(
            "1 MB",
            path,
            &send(&server, path, &alice.access, large.as_bytes()).await?,
            &[413],
        )?;
    }
    Ok(())
}

/// A request that no route takes: method, path, headers, body, then the status and code wanted.
type Odd = (
    &'static str,
    &'static str,
    Headers,
    &'static str,
    u16,
    &'static str,
);
type Headers = &'static [(&'static str, &'static str)];

const JSON: Headers = &[("content-type", "application/json")];
const TEXT: Headers = &[("content-type", "text/plain")];
const BROTLI: Headers = &[("content-encoding", "br")];
const GZIP: Headers = &[("content-encoding", "gzip")];
const TWICE: Headers = &[("authorization", "Bearer a"), ("authorization", "Bearer a")];

const ODD: [Odd; 14] = [
    ("GET", "/nothing", &[], "", 404, "not_found"),
    ("POST", "/auth/login/", JSON, "{}", 404, "not_found"),
    ("GET", "/auth/login", &[], "", 405, "method_not_allowed"),
    ("DELETE", "/auth/info", &[], "", 405, "method_not_allowed"),
    (
        "POST",
        "/auth/login",
        TEXT,
        "{}",
        415,
        "unsupported_media_type",
    ),
    (
        "POST",
        "/auth/login",
        BROTLI,
        "{}",
        415,
        "unsupported_media_type",
    ),
    ("POST", "/auth/login", GZIP, "{}", 400, "invalid_request"),
    ("GET", "/auth/info", &[], "", 401, "invalid_token"),
    (
        "GET",
        "/auth/info",
        &[("authorization", "")],
        "",
        401,
        "invalid_token",
    ),
    (
        "GET",
        "/auth/info",
        &[("authorization", "Bearer")],
        "",
        401,
        "invalid_token",
    ),
    (
        "GET",
        "/auth/info",
        &[("authorization", "Basic YTpi")],
        "",
        401,
        "invalid_token",
    ),
    ("GET", "/auth/info", TWICE, "", 401, "invalid_token"),
    // 401 comes before 415 and 400.
    ("POST", "/auth/password", TEXT, "x", 401, "invalid_token"),
    ("DELETE", "/auth/sessions/x", &[], "", 401, "invalid_token"),
];

#[tokio::test]
async fn odd_requests_get_the_contracts_codes() -> Result<()> {
    let site = site()?;
    let server = site.serve().await?;
    for (method, path, headers, body, status, code) in ODD {
        let reply = server
            .http
            .send(method.parse()?, path, headers, body)
            .await?;
        let found = (reply.status.as_u16(), reply.code());
        assert_eq!(
            found,
            (status, code.to_owned()),
            "{method} {path} {headers:?}: {reply:?}"
        );
        assert_eq!(reply.header("x-content-type-options"), "nosniff");
        match status {
            401 => assert_eq!(reply.header("www-authenticate"), "Bearer"),
            405 => assert!(!reply.header("allow").is_empty()),
            _ => {}
        }
    }
    let long = format!("Bearer {}", "x".repeat(64 * 1024));
    let long = server
        .http
        .send(Method::GET, "/auth/info", &[("authorization", &long)], "")
        .await?;
    assert_eq!(
        (long.status.as_u16(), long.code().as_str()),
        (401, "invalid_token")
    );
    Ok(())
}

#[tokio::test]
async fn a_decent_request_id_is_kept_and_another_replaced() -> Result<()> {
    let site = site()?;
    let server = site.serve().await?;
    for (given, kept) in [
        ("abc-123.X_y", true),
        ("short", false),
        ("with space", false),
    ] {
        let headers = [("x-request-id", given)];
        let reply = server
            .http
            .send(Method::GET, "/nothing", &headers, "")
            .await?;
        assert_eq!(reply.text("request_id") == given, kept, "{given}");
        assert_eq!(reply.text("request_id"), reply.header("x-request-id"));
    }
    Ok(())
}

#[tokio::test]
async fn bad_input_does_not_grow_memory() -> Result<()> {
    let site = site()?;
    let server = site.serve().await?;
    let flood = async |count: usize| -> Result<()> {
        for number in 0..count {
            let (_, body) = &malformed()[number % malformed().len()];
            send(&server, "/auth/login", "x", body).await?;
            let dots = ".".repeat(60_000);
            server.http.get("/auth/info", Some(&dots)).await?;
        }
        Ok(())
    };
    flood(200).await?;
    let before = server.resident_bytes()?;
    flood(2_000).await?;
    let growth = server.resident_bytes()?.saturating_sub(before);
    assert!(
        growth < 4 << 20,
        "{growth} bytes more after 4,000 bad requests"
    );
    let ready: Value = server.http.get("/auth/ready", None).await?.json();
    assert_eq!(ready["state"], "ready");
    Ok(())
}
