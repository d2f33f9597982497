//! Every kind of bad input on every route: the contract's code, all bad fields, never a 5xx.

use axum::body::Body;
use serde_json::{Value, json};

use crate::{
    document::{operations, resolve},
    harness::{App, User, request},
};

/// Every route that reads a body, from the document, with the members that it reads.
fn body_routes() -> Vec<(String, &'static Value)> {
    let routes: Vec<_> = operations()
        .into_iter()
        .filter_map(|(path, _, operation)| {
            let schema = operation.pointer("/requestBody/content/application~1json/schema")?;
            Some((path, resolve(schema)))
        })
        .collect();
    assert_eq!(routes.len(), 5);
    routes
}

async fn post(
    app: &App,
    ada: &User<'_>,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Body>,
) -> crate::harness::Reply {
    let mut request = ada.request("POST", path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    app.send(request.body(body.into()).unwrap()).await
}

#[tokio::test]
async fn what_is_not_one_json_object_is_an_invalid_request_on_every_route() {
    let app = App::new().await;
    let ada = app.user("ada").await;
    let deep = "[".repeat(60_000);
    let deep_object = "{\"a\":".repeat(13_000);
    let bad: &[&[u8]] = &[
        b"",
        b" ",
        b"null",
        b"true",
        b"5",
        b"\"text\"",
        b"[]",
        b"[{}]",
        b"{",
        b"{}x",
        b"{} {}",
        b"{\"token\":NaN}",
        b"{\"token\":\"\\ud800\"}",
        b"{\"email\":\"\xff\"}",
        b"\xef\xbb\xbf{}",
        b"{'email':'x'}",
        b"{\"token\":\"x\",}",
        b"{\"a\":1,\"a\":2}",
        b"{\"email\":1e999}",
        b"email=ada&password=x",
        b"\0",
        b"{\"x\":\"\xed\xa0\x80\"}",
        deep.as_bytes(),
        deep_object.as_bytes(),
    ];
    for (path, _) in body_routes() {
        for body in bad {
            let reply = post(&app, &ada, &path, &[], body.to_vec()).await;
            reply.is_error(400, "invalid_request");
            assert!(reply.fields().is_empty(), "{reply:?}");
        }
    }
}

#[tokio::test]
async fn json_nested_a_hundred_thousand_levels_is_refused_by_its_size_or_depth() {
    let app = App::new().await;
    let ada = app.user("ada").await;
    let body = "[".repeat(100_000);
    for (path, _) in body_routes() {
        let plain = post(&app, &ada, &path, &[], body.clone()).await;
        plain.is_error(413, "payload_too_large");
    }
}

#[tokio::test]
async fn media_types_and_encodings_that_are_not_read_are_told_so_on_every_route() {
    let app = App::new().await;
    let ada = app.user("ada").await;
    for (path, _) in body_routes() {
        for (name, value) in [
            ("content-type", "text/plain"),
            ("content-type", "application/x-www-form-urlencoded"),
            ("content-type", "application/json; charset=utf-16"),
            ("content-type", ""),
            ("content-encoding", "br"),
            ("content-encoding", "gzip, gzip"),
        ] {
            let reply = post(&app, &ada, &path, &[(name, value)], "{}").await;
            reply.is_error(415, "unsupported_media_type");
        }
        let reply = post(&app, &ada, &path, &[("content-encoding", "gzip")], "{}").await;
        reply.is_error(400, "invalid_request");
    }
}

/// The document and the handlers name the same members: each has its type checked.
#[tokio::test]
async fn every_member_of_every_body_is_checked_for_its_type() {
    let app = App::new().await;
    let ada = app.user("ada").await;
    for (path, schema) in body_routes() {
        let properties = schema["properties"].as_object().unwrap();
        for wrong in [json!(5), json!(["x"]), json!({"a": "b"}), json!(1.5)] {
            let body: Value = properties
                .keys()
                .map(|name| (name.clone(), wrong.clone()))
                .collect();
            let reply = post(&app, &ada, &path, &[], body.to_string()).await;
            assert_eq!(reply.status, 400, "{path} {reply:?}");
            let mut expected: Vec<_> = properties
                .keys()
                .map(|name| format!("{name}: invalid_type"))
                .collect();
            let mut found = reply.fields();
            expected.sort();
            found.sort();
            assert_eq!(found, expected, "{path}");
        }
    }
}

#[tokio::test]
async fn every_required_member_is_required_whether_missing_null_or_empty() {
    let app = App::new().await;
    let ada = app.user("ada").await;
    for (path, schema) in body_routes() {
        let required: Vec<&str> = schema["required"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(Value::as_str)
            .collect();
        for absent in [None, Some(Value::Null), Some(json!(""))] {
            let body: serde_json::Map<_, _> = required
                .iter()
                .filter_map(|name| Some(((*name).to_owned(), absent.clone()?)))
                .collect();
            let reply = post(&app, &ada, &path, &[], Value::from(body).to_string()).await;
            assert_eq!(reply.status, 400, "{path}");
            let mut expected: Vec<_> = required
                .iter()
                .map(|name| format!("{name}: required"))
                .collect();
            let mut found = reply.fields();
            expected.sort();
            found.sort();
            assert_eq!(found, expected, "{path}");
        }
    }
}

#[tokio::test]
async fn what_is_too_long_is_refused_with_its_field() {
    let app = App::new().await;
    let ada = app.user("ada").await;
    let long = "x".repeat(2000);
    let email = format!("{}@example.com", "x".repeat(250));
    for (path, body, expected) in [
        (
            "/auth/registration",
            json!({"email": email, "password": long, "name": long, "birthday": long}),
            &[
                "email: too_long",
                "password: too_long",
                "name: too_long",
                "birthday: invalid_birthday",
            ][..],
        ),
        (
            "/auth/login",
            json!({"email": email, "password": long}),
            &["email: too_long", "password: too_long"],
        ),
        (
            "/auth/password",
            json!({"current_password": long, "new_password": long}),
            &["current_password: too_long", "new_password: too_long"],
        ),
    ] {
        let reply = post(&app, &ada, path, &[], body.to_string()).await;
        assert_eq!(reply.fields(), expected, "{path}");
    }
}

#[tokio::test]
async fn bad_tokens_in_a_body_are_invalid_whatever_they_are_made_of() {
    let app = App::new().await;
    let ada = app.user("ada").await;
    let dots = ".".repeat(60_000);
    let tampered = format!("{}A", &ada.access[..ada.access.len() - 1]);
    for path in ["/auth/refresh", "/auth/logout"] {
        for token in [
            "x",
            ".",
            "..",
            "a.b.c",
            "\u{0}",
            "\u{10ffff}",
            "null",
            &dots,
            &tampered,
        ] {
            let reply = app.post_json(path, &json!({"token": token})).await;
            reply.is_error(401, "invalid_token");
        }
        let million = json!({"token": ".".repeat(1_000_000)});
        app.post_json(path, &million)
            .await
            .is_error(413, "payload_too_large");
    }
}

#[tokio::test]
async fn a_bad_authorization_is_unauthorized_on_every_bearer_route() {
    let app = App::new().await;
    let ada = app.user("ada").await;
    let good = format!("Bearer {}", ada.access);
    let long = format!("Bearer {}", "x".repeat(65_536));
    let dots = format!("Bearer {}", ".".repeat(65_536));
    let padded = format!("{good} x");
    let bad: &[&[&str]] = &[
        &[],
        &[""],
        &["Bearer"],
        &["Bearer "],
        &["Basic YTpi"],
        &[&ada.access],
        &["Bearer x y"],
        &[&good, &good],
        &["", &good],
        &[&long],
        &[&dots],
        &[&padded],
        &["Bearer\t.."],
    ];
    let mut routes = 0;
    for (path, method, operation) in operations() {
        if !operation["security"].to_string().contains("bearerAuth") {
            continue;
        }
        routes += 1;
        for values in bad {
            let mut request = request(&method, &path.replace("{id}", "x"));
            for value in *values {
                request = request.header("authorization", *value);
            }
            let reply = app.send(request.body(Body::from("{}")).unwrap()).await;
            reply.is_error(401, "invalid_token");
            assert_eq!(reply.header("www-authenticate"), Some("Bearer"));
        }
        let mut request = request(&method, &path.replace("{id}", "x"));
        request = request.header(
            "authorization",
            axum::http::HeaderValue::from_bytes(b"Bearer \xff").unwrap(),
        );
        app.send(request.body(Body::empty()).unwrap())
            .await
            .is_error(401, "invalid_token");
    }
    assert_eq!(routes, 4);
}

#[tokio::test]
async fn what_answers_without_credentials() {
    let app = App::new().await;
    let mut answers = Vec::new();
    for (path, method, _) in operations() {
        let request = request(&method, &path.replace("{id}", "x"));
        let reply = app.send(request.body(Body::from("{}")).unwrap()).await;
        let code = reply.json()["code"].as_str().unwrap_or("-").to_owned();
        answers.push(format!(
            "{:<6} {path:<24} {} {code}",
            method,
            reply.status.as_u16()
        ));
    }
    answers.sort();
    insta::assert_snapshot!(answers.join("\n"), @r"
    DELETE /auth/sessions/{id}      401 invalid_token
    GET    /.well-known/jwks.json   200 -
    GET    /auth/healthz            200 -
    GET    /auth/info               401 invalid_token
    GET    /auth/ready              200 -
    GET    /auth/sessions           401 invalid_token
    POST   /auth/login              400 invalid_request
    POST   /auth/logout             400 required
    POST   /auth/password           401 invalid_token
    POST   /auth/refresh            400 required
    POST   /auth/registration       400 invalid_request
    ");
}
