use std::{io::Write, sync::Arc, time::Duration};

use async_trait::async_trait;
use axum::body::Body;
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use serde_json::json;
use sso_core::{
    ports::{HashError, Hasher, Queue, Verified, Work},
    values::{NewPassword, Password, PasswordHash},
};
use sso_web::rate::Rates;

use crate::harness::{App, Options, request};

const REGISTRATION: &str = "/auth/registration";

fn credentials() -> String {
    json!({"email": "ada@example.com", "password": "correct horse battery"}).to_string()
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn an_unknown_path_is_not_found_and_so_is_a_trailing_slash() {
    let app = App::new().await;
    for path in [
        "/",
        "/nope",
        "/auth",
        "/auth/",
        "/auth/login/",
        "/auth/info/",
        "//auth/login",
        "/metrics",
    ] {
        app.get(path).await.is_error(404, "not_found");
        app.post(path, "{}").await.is_error(404, "not_found");
    }
}

#[tokio::test]
async fn a_wrong_method_is_told_which_are_allowed_before_anything_else() {
    let app = App::new().await;
    for (method, path, allow) in [
        ("GET", "/auth/login", "POST"),
        ("HEAD", "/auth/login", "POST"),
        ("POST", "/auth/info", "GET,HEAD"),
        ("PUT", "/auth/password", "POST"),
        ("GET", "/auth/sessions/x", "DELETE"),
        ("BREW", "/auth/login", "POST"),
        ("OPTIONS", "/auth/login", "POST"),
        ("POST", "/swagger/index.html", "GET,HEAD"),
    ] {
        let request = request(method, path).header("content-type", "text/plain");
        let reply = app
            .send(request.body(Body::from("x".repeat(100_000))).unwrap())
            .await;
        assert_eq!(reply.status, 405, "{method} {path}");
        assert_eq!(reply.header("allow"), Some(allow), "{method} {path}");
        if method != "HEAD" {
            reply.is_error(405, "method_not_allowed");
        }
    }
}

#[tokio::test]
async fn of_several_faults_the_first_by_the_contracts_order_is_told() {
    let app = App::new().await;
    let ada = app.user("ada").await;
    let long = "x".repeat(70_000);
    let send = async |authorized: bool, kind: &str, body: &str| {
        let request = if authorized {
            ada.request("POST", "/auth/password")
        } else {
            request("POST", "/auth/password")
        };
        let request = request
            .header("content-type", kind)
            .header("content-length", body.len());
        app.send(request.body(Body::from(body.to_owned())).unwrap())
            .await
    };
    send(false, "text/plain", &long)
        .await
        .is_error(413, "payload_too_large");
    send(false, "text/plain", "x")
        .await
        .is_error(401, "invalid_token");
    send(true, "text/plain", "x")
        .await
        .is_error(415, "unsupported_media_type");
    send(true, "application/json", "x")
        .await
        .is_error(400, "invalid_request");
}

#[tokio::test]
async fn head_answers_as_get_without_the_body() {
    let app = App::new().await;
    let ada = app.user("ada").await;
    for path in [
        "/auth/healthz",
        "/auth/ready",
        "/auth/info",
        "/.well-known/jwks.json",
        "/swagger/index.html",
    ] {
        let get = ada.get(path).await;
        let head = ada.request("HEAD", path).body(Body::empty()).unwrap();
        let head = app.send(head).await;
        assert_eq!(head.status, get.status, "{path}");
        assert!(head.body.is_empty(), "{path}");
        for name in ["content-type", "content-length", "cache-control"] {
            assert_eq!(head.header(name), get.header(name), "{path}: {name}");
        }
    }
    let head = app
        .send(request("HEAD", "/auth/info").body(Body::empty()).unwrap())
        .await;
    let get = app.get("/auth/info").await;
    assert_eq!((head.status.as_u16(), head.body.len()), (401, 0));
    assert_eq!(head.header("content-length"), get.header("content-length"));
    assert_eq!(head.header("www-authenticate"), Some("Bearer"));
}

#[tokio::test]
async fn the_callers_request_id_is_in_header_and_body() {
    let app = App::new().await;
    let send = async |id: &str| {
        let request = request("GET", "/nope").header("x-request-id", id);
        app.send(request.body(Body::empty()).unwrap()).await
    };
    assert_eq!(send("my-own.id_1").await.text("request_id"), "my-own.id_1");
    assert!(
        send("bad id!")
            .await
            .text("request_id")
            .starts_with("request-")
    );
}

#[tokio::test]
async fn gzip_is_taken_and_given() {
    let app = App::new().await;
    let request_gzip = request("POST", REGISTRATION).header("content-encoding", "gzip");
    let body = gzip(credentials().as_bytes());
    let reply = app.send(request_gzip.body(Body::from(body)).unwrap()).await;
    assert_eq!(reply.status, 201, "{reply:?}");

    let asked = request("GET", "/swagger/doc.json").header("accept-encoding", "gzip");
    let reply = app.send(asked.body(Body::empty()).unwrap()).await;
    assert_eq!(reply.header("content-encoding"), Some("gzip"));
    let mut document = String::new();
    std::io::Read::read_to_string(&mut GzDecoder::new(&*reply.body), &mut document).unwrap();
    assert!(document.contains("/auth/registration"));

    let small = request("GET", "/auth/healthz").header("accept-encoding", "gzip");
    let reply = app.send(small.body(Body::empty()).unwrap()).await;
    assert_eq!(reply.header("content-encoding"), None, "not worth it");
}

#[tokio::test]
async fn a_body_is_refused_beyond_64_kib_as_sent_and_as_inflated() {
    let app = App::new().await;
    let padded = |size: usize| {
        let mut body = credentials();
        body.extend(std::iter::repeat_n(' ', size - body.len()));
        body
    };
    assert_eq!(app.post(REGISTRATION, padded(65_536)).await.status, 201);
    app.post(REGISTRATION, padded(65_537))
        .await
        .is_error(413, "payload_too_large");
    let stream = chunked(&padded(65_537));
    app.post(REGISTRATION, stream)
        .await
        .is_error(413, "payload_too_large");
    let bomb = gzip(padded(20_000_000).as_bytes());
    assert!(bomb.len() < 65_536);
    let request = request("POST", REGISTRATION).header("content-encoding", "gzip");
    let reply = app.send(request.body(Body::from(bomb)).unwrap()).await;
    reply.is_error(413, "payload_too_large");
}

/// A body without a declared length.
fn chunked(text: &str) -> Body {
    let chunks: Vec<_> = text.as_bytes().chunks(1000).map(<[u8]>::to_vec).collect();
    Body::from_stream(futures_util::stream::iter(
        chunks.into_iter().map(Ok::<_, std::convert::Infallible>),
    ))
}

#[tokio::test]
async fn development_mode_answers_to_this_machines_names_only() {
    let app = App::with(Options {
        loopback_only: true,
        ..Options::default()
    })
    .await;
    let send = async |host: &str| {
        let request = request("GET", "/auth/healthz").header("host", host);
        app.send(request.body(Body::empty()).unwrap()).await
    };
    assert_eq!(send("localhost:8000").await.status, 200);
    send("rebind.example")
        .await
        .is_error(421, "misdirected_request");
    app.get("/auth/healthz")
        .await
        .is_error(421, "misdirected_request");
}

#[tokio::test]
async fn metrics_are_there_only_where_they_are_asked_for() {
    let app = App::with(Options {
        metrics: true,
        ..Options::default()
    })
    .await;
    let reply = app.get("/metrics").await;
    assert_eq!(
        (reply.status.as_u16(), &*reply.body),
        (200, &b"sso_up 1\n"[..])
    );
    assert_eq!(
        reply.header("content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
}

/// A hasher with a fault.
#[derive(Clone, Copy)]
enum Faulty {
    Overloaded,
    Hangs,
    Panics,
    Unreadable,
}

impl Faulty {
    async fn fail<T>(self) -> Result<T, HashError> {
        match self {
            Self::Overloaded => Err(HashError::Overloaded {
                queue: Queue::Login,
                retry_after: Duration::from_millis(1500),
            }),
            Self::Hangs => std::future::pending().await,
            Self::Panics => panic!("the secret of ada"),
            Self::Unreadable => Err(HashError::Unreadable("a secret hash")),
        }
    }
}

#[async_trait]
impl Hasher for Faulty {
    async fn hash(&self, _: Work, _: NewPassword) -> Result<PasswordHash, HashError> {
        self.fail().await
    }

    async fn rehash(&self, _: Work, _: Password) -> Result<PasswordHash, HashError> {
        self.fail().await
    }

    async fn verify(
        &self,
        _: Work,
        _: Password,
        _: Option<PasswordHash>,
    ) -> Result<Verified, HashError> {
        self.fail().await
    }
}

async fn with_fault(fault: Faulty) -> App {
    App::with(Options {
        hasher: Some(Arc::new(fault)),
        request_timeout: Duration::from_millis(200),
        ..Options::default()
    })
    .await
}

#[tokio::test]
async fn an_overload_says_when_to_come_back_in_whole_seconds() {
    let app = with_fault(Faulty::Overloaded).await;
    let reply = app.post("/auth/login", credentials()).await;
    reply.is_error(503, "overloaded");
    assert_eq!(reply.header("retry-after"), Some("2"));
}

#[tokio::test]
async fn what_takes_too_long_is_a_timeout() {
    let app = with_fault(Faulty::Hangs).await;
    app.post("/auth/login", credentials())
        .await
        .is_error(504, "deadline_exceeded");
}

#[tokio::test]
async fn our_faults_are_opaque() {
    for fault in [Faulty::Panics, Faulty::Unreadable] {
        let app = with_fault(fault).await;
        let reply = app.post("/auth/login", credentials()).await;
        reply.is_error(500, "internal");
        assert_eq!(reply.text("error"), "internal error");
        assert!(!String::from_utf8_lossy(&reply.body).contains("secret"));
    }
}

#[tokio::test]
async fn who_fails_too_often_and_who_asks_too_often_is_told_when_to_come_back() {
    let app = App::with(Options {
        rates: Some(Arc::new(Rates::new(8, Arc::new(|| Duration::ZERO)))),
        ..Options::default()
    })
    .await;
    let wrong = json!({"email": "nobody@example.com", "password": "not the secret"});
    for _ in 0..5 {
        let reply = app.post_json("/auth/login", &wrong).await;
        reply.is_error(401, "invalid_credentials");
    }
    for _ in 5..8 {
        let reply = app.post_json("/auth/login", &wrong).await;
        reply.is_error(429, "rate_limited");
        assert_eq!(reply.header("retry-after"), Some("1"));
    }
    app.clock.advance(Duration::from_secs(1));
    // Now it is the address, on this route.
    let reply = app.post_json("/auth/login", &wrong).await;
    reply.is_error(429, "rate_limited");
    app.get("/auth/info").await.is_error(401, "invalid_token");
}
