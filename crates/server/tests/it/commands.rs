//! The command line, beside a running server and without one.

use std::{io::Write, process::Stdio};

use anyhow::{Context, Result};
use http::StatusCode;
use serde_json::{Value, json};

use crate::{network::tls::Secured, support::site};

#[tokio::test]
async fn a_user_added_beside_the_server_can_sign_in_at_once() -> Result<()> {
    let site = site()?;
    let server = site.serve().await?;
    let mut add = site
        .command(&[
            "user",
            "add",
            "Root@example.com",
            "--admin",
            "--name",
            "Root",
            "--output",
            "json",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    add.stdin
        .take()
        .context("no stdin")?
        .write_all(b"correct horse battery\n")?;
    let output = add.wait_with_output()?;
    assert!(output.status.success());
    let added: Value = serde_json::from_slice(&output.stdout)?;
    assert_eq!(
        (&added["email"], &added["is_admin"]),
        (&json!("Root@example.com"), &json!(true))
    );

    let body = json!({ "email": "root@example.com", "password": "correct horse battery" });
    let login = server.http.post("/auth/login", &body).await?;
    assert_eq!(login.status, StatusCode::OK);
    let info = server
        .http
        .get("/auth/info", Some(&login.text("access_token")))
        .await?
        .json();
    assert_eq!(
        (&info["email"], &info["is_admin"]),
        (&json!("Root@example.com"), &json!(true))
    );
    Ok(())
}

#[test]
fn users_are_listed_and_shown_without_a_server() -> Result<()> {
    let site = site()?;
    std::fs::write(site.folder().join("password"), "correct horse battery")?;
    for name in ["alice", "bob", "carol"] {
        let email = format!("{name}@example.com");
        site.run_ok(&["user", "add", &email, "--password-file", "password"])?;
    }
    let list: Value = serde_json::from_str(&site.run_ok(&["user", "list", "--output", "json"])?)?;
    let ids: Vec<_> = list.as_array().context("no array")?.iter().collect();
    assert_eq!(ids.len(), 3);
    assert_eq!(ids[0]["email"], "alice@example.com");
    let after = ids[0]["user_id"].as_str().context("no id")?;
    let rest = site.run_ok(&["user", "list", "--after", after, "--limit", "1"])?;
    assert!(
        rest.contains("bob") && !rest.contains("carol") && !rest.contains("alice"),
        "{rest}"
    );
    let shown = site.run_ok(&["user", "show", "CAROL@example.com"])?;
    assert!(
        shown.contains("carol@example.com") && !shown.contains("argon2"),
        "{shown}"
    );
    Ok(())
}

#[test]
fn an_empty_database_that_is_made_by_a_command_is_spoken_of() -> Result<()> {
    let site = site()?;
    let said = |output: std::process::Output| String::from_utf8(output.stderr);
    let first = said(site.run(&["events", "list", "--status", "Failed"])?)?;
    assert!(
        first.contains("sso.db was not there") && first.contains("--config"),
        "{first}"
    );
    assert_eq!(said(site.run(&["events", "list"])?)?, "");
    let nowhere = site.run(&["--data-dir", "/proc/nope", "user", "list"])?;
    assert_eq!(nowhere.status.code(), Some(78));
    let nowhere = said(nowhere)?;
    assert!(
        nowhere.contains("data_dir") && !nowhere.contains("is made"),
        "{nowhere}"
    );
    Ok(())
}

#[test]
fn what_is_wrong_with_a_user_is_said() -> Result<()> {
    let site = site()?;
    std::fs::write(site.folder().join("password"), "short")?;
    let weak = site.run(&[
        "user",
        "add",
        "a@example.com",
        "--password-file",
        "password",
    ])?;
    assert_eq!(weak.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&weak.stderr).contains("at least 8 characters"));
    let missing = site.run(&["user", "add", "a@example.com"])?;
    assert_eq!(missing.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("--password-file"));
    let unknown = site.run(&["user", "disable", "nobody@example.com"])?;
    assert_eq!(unknown.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("user not found"));
    Ok(())
}

#[tokio::test]
async fn healthcheck_tells_whether_the_server_is_ready() -> Result<()> {
    let site = site()?;
    assert_eq!(site.run(&["healthcheck"])?.status.code(), Some(69));
    let _server = site.serve().await?;
    assert!(site.run_ok(&["healthcheck"])?.contains("ready"));
    Ok(())
}

#[tokio::test]
async fn healthcheck_says_that_a_listener_speaks_tls_where_none_is_configured() -> Result<()> {
    let secured = Secured::new(&["http"])?;
    let _server = secured.site.serve_checked().await?;
    let asked = secured
        .site
        .command(&["healthcheck"])
        .env_remove("SSO__HTTP__TLS_CERT")
        .env_remove("SSO__HTTP__TLS_KEY")
        .output()?;
    let said = String::from_utf8_lossy(&asked.stderr);
    assert_eq!(asked.status.code(), Some(1), "{said}");
    assert!(
        said.contains("answers no HTTP") && said.contains("http.tls_cert"),
        "{said}"
    );
    Ok(())
}

#[test]
fn migrations_are_shown_and_brought_up_to_date() -> Result<()> {
    let mut site = site()?;
    site.set("SSO__DATABASE__MIGRATE", false);
    let behind = site.run(&["serve"])?;
    assert_eq!(
        behind.status.code(),
        Some(78),
        "{}",
        String::from_utf8_lossy(&behind.stderr)
    );
    assert!(String::from_utf8_lossy(&behind.stderr).contains("sso migrate up"));
    site.run_ok(&["migrate", "up"])?;
    let status: Value =
        serde_json::from_str(&site.run_ok(&["migrate", "status", "--output", "json"])?)?;
    assert_eq!(status["pending"], json!([]));
    assert_eq!(status["current"], status["latest"]);
    Ok(())
}

#[test]
fn the_configuration_is_documented_and_checked() -> Result<()> {
    let site = site()?;
    assert!(site.run_ok(&["config", "check"])?.contains("good"));
    let shown = site.run_ok(&["config", "show"])?;
    assert!(shown.contains("SSO__DATA_DIR"), "{shown}");
    assert!(site.run_ok(&["config", "example"])?.contains("[http]"));
    let schema: Value = serde_json::from_str(&site.run_ok(&["config", "schema"])?)?;
    assert!(
        schema["$schema"]
            .as_str()
            .is_some_and(|uri| uri.contains("2020-12"))
    );
    for port in ["http", "grpc"] {
        let document: Value = serde_json::from_str(&site.run_ok(&["openapi", "--port", port])?)?;
        assert!(
            document["openapi"]
                .as_str()
                .is_some_and(|version| version.starts_with("3.1"))
        );
    }
    Ok(())
}

/// A reader that has gone wants no more; a disk that is full is a failure, and says so.
#[test]
fn output_that_nobody_takes_is_no_panic() -> Result<()> {
    let site = site()?;
    let (reader, writer) = std::io::pipe()?;
    drop(reader);
    let gone = site
        .command(&["config", "example"])
        .stdout(writer)
        .status()?;
    assert_eq!(gone.code(), Some(0));
    let full = std::fs::File::options().write(true).open("/dev/full")?;
    let full = site
        .command(&["config", "example"])
        .stdout(full)
        .stderr(Stdio::piped())
        .output()?;
    let said = String::from_utf8_lossy(&full.stderr);
    assert_eq!(full.status.code(), Some(1), "{said}");
    assert!(said.contains("its output cannot be written"), "{said}");
    Ok(())
}
