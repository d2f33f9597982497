//! Bad input of each kind on each rpc, in both forms: the contract's code, every bad field, never
//! a fault of ours.

use std::io::Write;

use anyhow::Result;
use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};
use tonic::Code;

use crate::harness::{Port, Raw, Refused, string};

/// Path, short path, and the fields, which are numbered from 1.
const RPCS: [(&str, &str, &[&str]); 6] = [
    (
        "/auth.Auth/Register",
        "/sso/register",
        &["email", "password"],
    ),
    ("/auth.Auth/Login", "/sso/login", &["email", "password"]),
    ("/auth.Auth/Refresh", "/sso/refresh", &["refresh_token"]),
    ("/auth.Auth/IsAdmin", "/sso/is-admin", &["user_id"]),
    ("/auth.Auth/Logout", "/sso/logout", &["token"]),
    ("/auth.Auth/Validate", "/sso/validate", &["token"]),
];

fn named(fields: &[&str], reason: &str) -> Vec<(String, String)> {
    let named = fields
        .iter()
        .map(|field| ((*field).to_owned(), reason.to_owned()));
    named.collect()
}

/// What the first of several bad fields, or the only one, makes of the whole.
fn expected(fields: &[&str], reason: &str, message: String) -> Refused {
    let only = if fields.len() == 1 {
        reason
    } else {
        "invalid_request"
    };
    Refused {
        code: Code::InvalidArgument,
        reason: only.to_owned(),
        message,
        fields: named(fields, reason),
    }
}

#[tokio::test]
async fn empty_fields_are_required_all_of_them_and_the_first_is_the_message() -> Result<()> {
    let port = Port::start().await?;
    for (path, short, fields) in RPCS {
        let expected = expected(fields, "required", format!("{} is required", fields[0]));
        let raw = port.raw(path, &[], 0, &[]).await?;
        assert_eq!(Refused::of(&raw.status()?), expected, "{path}");

        let nulls = fields
            .iter()
            .map(|field| (*field, Value::Null))
            .collect::<Value>();
        let empty = fields
            .iter()
            .map(|field| (*field, json!("")))
            .collect::<Value>();
        for body in [json!({}), nulls, empty] {
            for path in [path, short] {
                let reply = port.http.post(path, &body).await?;
                assert_eq!(reply.status, 400, "{path} {body}");
                assert_eq!(Refused::of_json(&reply.json()), expected, "{path} {body}");
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_missing_password_is_named_alone() -> Result<()> {
    let port = Port::start().await?;
    for (path, short, _) in &RPCS[..2] {
        let expected = expected(&["password"], "required", "password is required".to_owned());
        let raw = port.raw(path, &[], 0, &string(1, b"a@b.example")).await?;
        assert_eq!(Refused::of(&raw.status()?), expected);
        let reply = port
            .http
            .post(short, &json!({ "email": "a@b.example" }))
            .await?;
        assert_eq!(Refused::of_json(&reply.json()), expected);
    }
    Ok(())
}

#[tokio::test]
async fn members_of_a_wrong_type_are_named_and_their_values_are_not_told() -> Result<()> {
    let port = Port::start().await?;
    for wrong in [
        json!(7_777_777),
        json!(true),
        json!(["7777777"]),
        json!({"7777777": 1}),
    ] {
        for (path, short, fields) in RPCS {
            let message = format!("{} must be a string", fields[0]);
            let expected = expected(fields, "invalid_type", message);
            let body = fields
                .iter()
                .map(|field| (*field, wrong.clone()))
                .collect::<Value>();
            for path in [path, short] {
                let reply = port.http.post(path, &body).await?;
                assert_eq!(reply.status, 400, "{path} {body}");
                assert_eq!(Refused::of_json(&reply.json()), expected, "{path} {body}");
                assert!(!String::from_utf8_lossy(&reply.bytes).contains("7777777"));
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_wrong_type_and_a_missing_member_are_named_together_in_order() -> Result<()> {
    let port = Port::start().await?;
    for path in ["/sso/register", "/sso/login"] {
        let reply = port.http.post(path, &json!({ "password": 1 })).await?;
        let refused = Refused::of_json(&reply.json());
        let fields = [
            named(&["email"], "required"),
            named(&["password"], "invalid_type"),
        ]
        .concat();
        assert_eq!(refused.message, "email is required");
        assert_eq!(refused.fields, fields);
    }
    Ok(())
}

#[tokio::test]
async fn values_beyond_the_rules_are_refused_with_their_reasons() -> Result<()> {
    let port = Port::start().await?;
    let (long_email, long_password) = (format!("{}@b.example", "a".repeat(254)), "x".repeat(1025));
    let cases = [
        (
            "/sso/register",
            json!({"email": "x", "password": "short"}),
            "email",
            "invalid_email",
        ),
        (
            "/sso/register",
            json!({"email": "a@b.example", "password": "short"}),
            "password",
            "weak_password",
        ),
        (
            "/sso/register",
            json!({"email": long_email, "password": "long enough"}),
            "email",
            "too_long",
        ),
        (
            "/sso/register",
            json!({"email": "a@b.example", "password": long_password}),
            "password",
            "too_long",
        ),
        (
            "/sso/login",
            json!({"email": "\u{ff41}@b.example", "password": "x"}),
            "email",
            "invalid_email",
        ),
        (
            "/sso/login",
            json!({"email": "a@b.example", "password": long_password}),
            "password",
            "too_long",
        ),
        (
            "/sso/is-admin",
            json!({"userId": "1"}),
            "user_id",
            "invalid_id",
        ),
        (
            "/sso/is-admin",
            json!({"userId": "{1932c07-9d2f-7cc4-8f7e-31b5d1a2a001}"}),
            "user_id",
            "invalid_id",
        ),
    ];
    for (path, body, field, reason) in cases {
        let reply = port.http.post(path, &body).await?;
        let refused = Refused::of_json(&reply.json());
        assert_eq!(reply.status, 400, "{path} {body}");
        assert_eq!(refused.code, Code::InvalidArgument);
        assert_eq!(
            refused.fields[0],
            (field.to_owned(), reason.to_owned()),
            "{path} {body}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn invalid_utf8_is_the_clients_fault() -> Result<()> {
    let port = Port::start().await?;
    for (path, short, fields) in RPCS {
        for malformed in [string(1, b"\xff\xfe"), vec![0x0a, 0x05, b'x'], vec![0x0f]] {
            let raw = port.raw(path, &[], 0, &malformed).await?;
            let refused = Refused::of(&raw.status()?);
            assert_eq!(
                (refused.code, refused.reason.as_str()),
                (Code::InvalidArgument, "invalid_request")
            );
        }
        let body = [b"{\"", fields[0].as_bytes(), b"\":\"\xff\"}"].concat();
        assert_eq!(port.post_with(short, &[], body).await?.status, 400);
    }
    Ok(())
}

#[tokio::test]
async fn json_that_has_not_one_meaning_is_refused() -> Result<()> {
    let port = Port::start().await?;
    let deep = format!("{{\"a\":{}", "[".repeat(60_000));
    for (path, short, fields) in RPCS {
        let field = fields[0];
        let bodies = [
            String::new(),
            " ".to_owned(),
            "null".to_owned(),
            "[]".to_owned(),
            "\"x\"".to_owned(),
            "{".to_owned(),
            "{}{}".to_owned(),
            "{} x".to_owned(),
            "\u{feff}{}".to_owned(),
            format!("{{\"{field}\":\"a\",\"{field}\":\"b\"}}"),
            format!("{{\"{field}\":\"\\ud800\"}}"),
            format!("{{\"{field}\":NaN}}"),
            deep.clone(),
        ];
        for body in bodies {
            for path in [path, short] {
                let reply = port.post_with(path, &[], body.clone()).await?;
                let refused = Refused::of_json(&reply.json());
                let shown = &body[..body.len().min(40)];
                assert_eq!(reply.status, 400, "{path} {shown}");
                assert_eq!(refused.code, Code::InvalidArgument, "{path} {shown}");
                assert_eq!(refused.reason, "invalid_request", "{path} {shown}");
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn tokens_that_are_none_are_refused_however_big() -> Result<()> {
    let port = Port::start().await?;
    let dots = ".".repeat(60_000);
    for (path, short, fields) in [RPCS[2], RPCS[4], RPCS[5]] {
        for token in ["x", "a.b.c", "..", &dots] {
            let raw = port.raw(path, &[], 0, &string(1, token.as_bytes())).await?;
            let refused = Refused::of(&raw.status()?);
            assert_eq!(
                (refused.code, refused.reason.as_str()),
                (Code::Unauthenticated, "invalid_token")
            );
            let reply = port.http.post(short, &json!({ fields[0]: token })).await?;
            assert_eq!(reply.status, 401);
            assert_eq!(Refused::of_json(&reply.json()), refused);
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_message_beyond_64_kib_is_refused_in_both_forms() -> Result<()> {
    let port = Port::start().await?;
    let dots = ".".repeat(1_000_000);
    for (path, short, fields) in RPCS {
        let raw = port.raw(path, &[], 0, &string(1, dots.as_bytes())).await?;
        let refused = Refused::of(&raw.status()?);
        assert_eq!(
            (refused.code, refused.reason.as_str()),
            (Code::OutOfRange, "payload_too_large")
        );
        let reply = port.http.post(short, &json!({ fields[0]: dots })).await?;
        assert_eq!(reply.status, 413, "{short}");
        assert_eq!(Refused::of_json(&reply.json()).reason, "payload_too_large");
    }
    Ok(())
}

fn gzipped(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(bytes)?;
    Ok(gzip.finish()?)
}

/// tonic says INTERNAL of these, which is a fault of ours.
#[tokio::test]
async fn a_frame_that_cannot_be_read_is_the_clients_fault() -> Result<()> {
    let port = Port::start().await?;
    let gzip = [("grpc-encoding", "gzip")];
    for (path, ..) in RPCS {
        let read = |raw: Raw| anyhow::Ok(Refused::of(&raw.status()?));
        let mut refused = vec![
            // Compressed, and it does not say how; not what it says; a flag that there is not.
            read(port.raw(path, &[], 1, b"abc").await?)?,
            read(port.raw(path, &gzip, 1, b"abc").await?)?,
            read(port.raw(path, &[], 2, b"abc").await?)?,
        ];
        for body in [&b""[..], &b"\0\0\0\0\x09abc"[..]] {
            refused.push(read(port.frames(path, body).await?)?);
        }
        for refused in refused {
            assert_eq!(
                (refused.code, refused.reason.as_str()),
                (Code::InvalidArgument, "invalid_request"),
                "{path}"
            );
        }
        let dots = gzipped(&string(1, ".".repeat(1_000_000).as_bytes()))?;
        let refused = read(port.raw(path, &gzip, 1, &dots).await?)?;
        assert_eq!(
            (refused.code, refused.reason.as_str()),
            (Code::OutOfRange, "payload_too_large"),
            "{path}"
        );
    }
    Ok(())
}
