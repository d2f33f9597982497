//! What clients send cannot make a record of the log, or break one.

use std::fmt::Write as _;

use anyhow::{Context, Result, ensure};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use sso_testkit::process::{Server, Site};

use crate::support::site;

/// What breaks naive records: ends of lines, terminal sequences (ESC, and CSI of C1 as UTF-8 and as
/// a byte), quotes and braces of JSON, separators of lines, what turns the direction of text.
const HOSTILE: [&str; 8] = [
    "\r\n{\"level\":\"ERROR\",\"message\":\"forged\"}\r\n",
    "\u{1b}[31mred\u{1b}[0m\u{1b}]0;title\u{7}",
    "\u{9b}31m",
    "\",\"forged\":\"yes",
    "\\\",\\\"forged\\\":\\\"",
    "}\n{",
    "\u{2028}forged\u{2029}forged\u{85}forged",
    "\u{202e}degrof\u{0}",
];

/// A user agent can hold all bytes but control characters; those are sent as far as HTTP allows.
fn header(text: &str) -> Vec<u8> {
    let mut bytes: Vec<u8> = text.bytes().filter(|b| *b >= 0x20 && *b != 0x7f).collect();
    bytes.extend([0x9b, b'3', b'1', b'm', 0xff, b'\t', b'"']);
    bytes
}

/// Sends every hostile text wherever a client can put text. Returns how many requests that were.
async fn attack(server: &Server) -> Result<usize> {
    let mut requests = 0;
    let mut send = async |path: &str, agent: &[u8], body: Value| -> Result<StatusCode> {
        requests += 1;
        let request = http::Request::builder()
            .method(Method::POST)
            .uri(format!("http://{}{path}", server.http_address))
            .header("user-agent", agent)
            .header("x-request-id", agent)
            .header("traceparent", agent)
            .header("tracestate", agent)
            .header("x-trace-id", agent)
            .header("content-type", "application/json")
            .body(body.to_string())?;
        let client =
            hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new())
                .build_http::<String>();
        Ok(client.request(request).await?.status())
    };
    for (number, text) in HOSTILE.iter().enumerate() {
        let agent = header(text);
        let email = format!("victim{number}@example.com");
        let other = format!("other{number}@example.com");
        let named = json!({ "email": other, "password": "a decent secret", "name": text });
        send("/auth/registration", &agent, named).await?;
        let plain = json!({ "email": email, "password": format!("{text}{text}a decent secret") });
        let registered = send("/auth/registration", &agent, plain.clone()).await?;
        ensure!(registered == StatusCode::CREATED, "{text:?}: {registered}");
        let signed_in = send("/auth/login", &agent, plain).await?;
        ensure!(signed_in == StatusCode::OK, "{text:?}: {signed_in}");
        let odd = json!({ "email": text, "password": text, "token": text, text.to_owned(): text });
        for path in [
            "/auth/registration",
            "/auth/login",
            "/auth/refresh",
            "/auth/logout",
        ] {
            send(path, &agent, odd.clone()).await?;
        }
        let path = percent_encoded(text);
        send(&format!("/{path}"), &agent, odd.clone()).await?;
        send(&format!("/auth/login?{path}"), &agent, odd).await?;
    }
    Ok(requests)
}

fn percent_encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        let _ = write!(encoded, "%{byte:02x}");
        encoded
    })
}

fn control(text: &str) -> Option<char> {
    text.chars().find(|c| c.is_control() && *c != '\n')
}

async fn attacked(format: &str) -> Result<(Site, usize)> {
    let mut site = site()?;
    // No module of others: what they log is theirs, and not of requests' content.
    site.set("SSO__LOG__FORMAT", format).set(
        "SSO__LOG__LEVEL",
        "debug,sso_core=trace,sso_http=trace,sso_web=trace,sso_grpc=trace",
    );
    let server = site.serve().await?;
    let sent = attack(&server).await?;
    drop(server);
    Ok((site, sent))
}

#[tokio::test]
async fn every_line_of_a_json_log_is_one_record_whatever_clients_send() -> Result<()> {
    let (site, sent) = attacked("json").await?;
    let log = site.log()?;
    assert_eq!(control(&log), None);
    assert!(!log.contains(['\u{2028}', '\u{2029}', '\u{202e}']), "{log}");
    let mut requests = 0;
    for line in log.lines() {
        let record: Value = serde_json::from_str(line).with_context(|| line.to_owned())?;
        let record = record.as_object().context("no object")?;
        assert!(record.get("forged").is_none(), "{line}");
        assert_ne!(record.get("message"), Some(&json!("forged")), "{line}");
        requests += usize::from(line.contains(r#""message":"request""#));
    }
    assert!(
        requests >= sent,
        "{requests} records of {sent} requests:\n{log}"
    );
    Ok(())
}

#[tokio::test]
async fn every_line_of_a_log_for_people_is_one_record_whatever_clients_send() -> Result<()> {
    let (site, _) = attacked("pretty").await?;
    let log = site.log()?;
    assert_eq!(control(&log), None);
    assert!(!log.contains(['\u{2028}', '\u{2029}', '\u{202e}']), "{log}");
    for line in log.lines() {
        let stamped = line.starts_with("20") && line.contains('Z');
        assert!(stamped, "no record: {line:?}");
    }
    Ok(())
}

#[tokio::test]
async fn what_the_command_line_prints_of_a_user_is_one_line() -> Result<()> {
    let site = site()?;
    std::fs::write(site.folder().join("password"), "a decent secret")?;
    for (number, text) in HOSTILE.iter().enumerate() {
        let email = format!("user{number}@example.com");
        let add = [
            "user",
            "add",
            &email,
            "--password-file",
            "password",
            "--name",
            text,
        ];
        if text.contains('\0') {
            continue;
        }
        let added = site.run(&add)?;
        let said = [added.stdout, added.stderr].concat();
        assert_eq!(control(&String::from_utf8_lossy(&said)), None, "{text:?}");
    }
    let list = site.run_ok(&["user", "list"])?;
    assert_eq!(control(&list), None, "{list:?}");
    let users: Value = serde_json::from_str(&site.run_ok(&["user", "list", "--output", "json"])?)?;
    let users = users.as_array().context("no array")?.len();
    let lines = list.lines().filter(|line| line.contains("@example.com"));
    assert_eq!(lines.count(), users, "{list}");
    Ok(())
}
