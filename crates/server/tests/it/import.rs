//! Users of another system, with the hashes that it has.

use std::{fmt::Write as _, io::Write as _, process::Stdio};

use anyhow::{Context, Result};
use http::StatusCode;
use serde_json::{Value, json};
use sso_testkit::process::{Server, Site};

use crate::support::site;

/// Of the password `test`, as the seed's test data has it.
const TEST: &str = "$2a$10$thBhIpjEmH22GNr9dxhbbeMwnG16sIATjtNR6vahFUhy7wf0r58NC";

fn write(site: &Site, name: &str, text: &str) -> Result<()> {
    Ok(std::fs::write(site.folder().join(name), text)?)
}

/// Imports and reads the report.
fn import(site: &Site, arguments: &[&str]) -> Result<(Option<i32>, Value)> {
    let all = [&["user", "import", "--output", "json"], arguments].concat();
    let output = site.run(&all)?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let report = serde_json::from_slice(&output.stdout).context(said)?;
    Ok((output.status.code(), report))
}

fn counts(report: &Value) -> [u64; 3] {
    ["imported", "present", "refused"].map(|name| report[name].as_u64().unwrap_or(u64::MAX))
}

async fn login(server: &Server, email: &str) -> Result<StatusCode> {
    let body = json!({ "email": email, "password": "test" });
    Ok(server.http.post("/auth/login", &body).await?.status)
}

#[test]
fn hashes_that_take_longer_than_failed_logins_wait_are_told() -> Result<()> {
    let mut site = site()?;
    let slow = TEST.replace("$10$", "$13$");
    let lines = [("a@example.com", TEST), ("b@example.com", &*slow)]
        .map(|(email, hash)| json!({"email": email, "password_hash": hash}).to_string());
    write(&site, "users.jsonl", &lines.join("\n"))?;
    let mut said = |floor: &str| -> Result<String> {
        let output = site.set("SSO__LOGIN__FAILURE_FLOOR", floor).run(&[
            "user",
            "import",
            "--dry-run",
            "users.jsonl",
        ])?;
        Ok(String::from_utf8(output.stderr)?)
    };
    let told = said("250ms")?;
    assert!(
        told.contains("1 of them have hashes that take longer"),
        "{told}"
    );
    assert!(!said("2s")?.contains("take longer"));
    Ok(())
}

#[tokio::test]
async fn an_imported_user_signs_in_with_the_password_that_he_had() -> Result<()> {
    let site = site()?;
    let server = site.serve().await?;
    let id = "11111111-2222-4333-8444-555555555555";
    let lines = [
        json!({"email": "Ada@example.com", "password_hash": TEST, "id": id, "name": "Ada",
               "birthday": "1990-12-10", "is_admin": true, "created_at": "2020-05-06T07:08:09Z"}),
        json!({"email": "off@example.com", "password_hash": TEST, "disabled": true}),
    ];
    write(
        &site,
        "users.jsonl",
        &lines.map(|line| line.to_string()).join("\n"),
    )?;
    let (code, report) = import(&site, &["users.jsonl"])?;
    assert_eq!((code, counts(&report)), (Some(0), [2, 0, 0]));

    assert_eq!(login(&server, "ada@example.com").await?, StatusCode::OK);
    assert_eq!(
        login(&server, "off@example.com").await?,
        StatusCode::FORBIDDEN
    );
    let shown = site.run_ok(&["user", "show", "ada@example.com", "--output", "json"])?;
    let shown: Value = serde_json::from_str(&shown)?;
    assert_eq!(shown["user_id"], id);
    assert_eq!(shown["created_at"], "2020-05-06T07:08:09.000000Z");
    assert_eq!(
        (&shown["is_admin"], &shown["birthday"]),
        (&json!(true), &json!("1990-12-10"))
    );
    let export: Value = serde_json::from_str(&site.run_ok(&["user", "export", id])?)?;
    assert_eq!(export["events"], json!([]), "no registration event");

    let (code, report) = import(&site, &["users.jsonl"])?;
    assert_eq!((code, counts(&report)), (Some(0), [0, 2, 0]));
    assert_eq!(report["present_lines"][0]["email"], "Ada@example.com");
    Ok(())
}

#[tokio::test]
async fn who_differs_by_case_only_is_reported_and_not_imported() -> Result<()> {
    let site = site()?;
    let server = site.serve().await?;
    let line = |email: &str| json!({"email": email, "password_hash": TEST}).to_string();
    let lines = ["Twin@example.com", "solo@example.com", "twin@example.com"];
    write(&site, "users.jsonl", &lines.map(line).join("\n"))?;
    let (code, report) = import(&site, &["users.jsonl"])?;
    assert_eq!((code, counts(&report)), (Some(1), [1, 0, 2]));
    let reported: Vec<_> = report["refused_lines"]
        .as_array()
        .context("no lines")?
        .iter()
        .map(|left| (left["line"].as_u64(), left["email"].as_str()))
        .collect();
    let expected = [
        (Some(1), Some("Twin@example.com")),
        (Some(3), Some("twin@example.com")),
    ];
    assert_eq!(reported, expected);
    assert_eq!(
        login(&server, "twin@example.com").await?,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(login(&server, "solo@example.com").await?, StatusCode::OK);

    write(&site, "other.jsonl", &line("SOLO@example.com"))?;
    let (code, report) = import(&site, &["other.jsonl"])?;
    assert_eq!((code, counts(&report)), (Some(1), [0, 0, 1]));
    Ok(())
}

#[test]
fn every_bad_line_is_told_with_its_reason_and_without_its_hash() -> Result<()> {
    let site = site()?;
    let argon2 = |parameters: &str| {
        format!(
            "$argon2id$v=19${parameters}$c2FsdHNhbHRzYWx0c2FsdA$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNo"
        )
    };
    let user = |hash: &str| json!({"email": "a@example.com", "password_hash": hash}).to_string();
    let bad = [
        "not json".to_owned(),
        "[]".to_owned(),
        json!({"email": "a@example.com"}).to_string(),
        json!({"email": "a", "password_hash": TEST}).to_string(),
        json!({"email": "a@example.com", "password_hash": TEST, "admin": true}).to_string(),
        json!({"email": "a@example.com", "password_hash": TEST, "birthday": "tomorrow"})
            .to_string(),
        json!({"email": "a@example.com", "password_hash": TEST, "id": "7"}).to_string(),
        user("5f4dcc3b5aa765d61d8327deb882cf99"),
        user(&TEST.replace("$10$", "$15$")),
        user(&TEST.replace("$10$", "$03$")),
        user(&argon2("m=262145,t=2,p=1")),
        user(&argon2("m=19456,t=11,p=1")),
        user(&argon2("m=19456,t=2,p=5")),
        user(&"x".repeat(70_000)),
    ];
    // Each alone: together they would be duplicates.
    for line in &bad {
        write(&site, "bad.jsonl", line)?;
        let (code, report) = import(&site, &["bad.jsonl", "--report", "left.jsonl"])?;
        assert_eq!((code, counts(&report)), (Some(1), [0, 0, 1]), "{line}");
        let left = std::fs::read_to_string(site.folder().join("left.jsonl"))?;
        let left: Value = serde_json::from_str(&left)?;
        assert_eq!(left["line"], 1);
        let reason = left["reason"].as_str().unwrap_or_default();
        assert!(!reason.is_empty());
        for secret in ["thBhIpjEm", "aGFzaG", "5f4dcc", "xxx"] {
            assert!(!report.to_string().contains(secret), "{report}");
        }
    }
    assert_eq!(
        site.run_ok(&["user", "list", "--output", "json"])?.trim(),
        "[]"
    );
    Ok(())
}

#[test]
fn what_was_refused_is_told_in_the_order_of_its_lines() -> Result<()> {
    let site = site()?;
    let user = |email: &str| json!({"email": email, "password_hash": TEST}).to_string();
    write(&site, "there.jsonl", &user("there@example.com"))?;
    assert_eq!(import(&site, &["there.jsonl"])?.0, Some(0));
    let twice =
        format!(r#"{{"email":"x@example.com","email":"y@example.com","password_hash":"{TEST}"}}"#);
    let lines = [
        user("THERE@example.com"),
        twice,
        user("new@example.com"),
        "not json".to_owned(),
    ];
    write(&site, "users.jsonl", &lines.join("\n"))?;
    let (code, report) = import(&site, &["users.jsonl", "--report", "left.jsonl"])?;
    assert_eq!((code, counts(&report)), (Some(1), [1, 0, 3]));
    let told = |lines: &[Value]| {
        let told = lines.iter().map(|left| {
            let code = left["code"].as_str().unwrap_or_default();
            (left["line"].as_u64().unwrap_or_default(), code.to_owned())
        });
        told.collect::<Vec<_>>()
    };
    let expected = [(1, "user_exists"), (2, "malformed"), (4, "malformed")]
        .map(|(line, code)| (line, code.to_owned()));
    let refused = report["refused_lines"].as_array().context("no lines")?;
    assert_eq!(told(refused), expected);
    let left = std::fs::read_to_string(site.folder().join("left.jsonl"))?;
    let left: Vec<Value> = left
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()?;
    assert_eq!(told(&left), expected);
    Ok(())
}

#[tokio::test]
async fn the_table_of_authloyalty_is_read_from_standard_input() -> Result<()> {
    let site = site()?;
    let server = site.serve().await?;
    let mut hex = String::from("\\x");
    for byte in TEST.bytes() {
        write!(hex, "{byte:02x}")?;
    }
    let table = format!(
        "uuid,email,pass_hash,is_admin,created,modified,message_status\n\
         11111111-2222-4333-8444-555555555555,admin@test.com,{hex},t,\
         2024-08-01 10:20:30.123456,2024-08-01 10:20:30.123456,successful\n\
         11111111-2222-4333-8444-555555555556,user@test.com,{TEST},f,\
         2024-08-01 10:20:30,2024-08-01 10:20:30,inProgress\n"
    );
    let arguments = ["user", "import", "--from", "authloyalty-csv", "-"];
    let mut import = site
        .command(&arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut stdin = import.stdin.take().context("no stdin")?;
    stdin.write_all(table.as_bytes())?;
    drop(stdin);
    let output = import.wait_with_output()?;
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stdout).contains("2 imported"));
    for email in ["admin@test.com", "user@test.com"] {
        assert_eq!(login(&server, email).await?, StatusCode::OK);
    }
    let shown = site.run_ok(&["user", "show", "admin@test.com", "--output", "json"])?;
    let shown: Value = serde_json::from_str(&shown)?;
    assert_eq!(shown["created_at"], "2024-08-01T10:20:30.123456Z");
    assert_eq!(shown["is_admin"], true);
    let left: Vec<_> = std::fs::read_dir(site.data_dir())?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.starts_with("import"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
    Ok(())
}

#[test]
fn a_report_that_cannot_be_written_stops_the_import() -> Result<()> {
    let site = site()?;
    let user = json!({"email": "a@example.com", "password_hash": TEST}).to_string();
    write(&site, "users.jsonl", &user)?;
    let arguments = ["user", "import", "users.jsonl", "--report", "/dev/full"];
    assert!(
        site.run(&arguments)?.status.success(),
        "there is nothing to report"
    );
    let stopped = site.run(&arguments)?;
    assert_eq!(stopped.status.code(), Some(1));
    let said = String::from_utf8_lossy(&stopped.stderr).into_owned();
    assert!(said.contains("cannot be written"), "{said}");

    let (_, report) = import(&site, &["users.jsonl", "--dry-run"])?;
    assert_eq!(counts(&report), [1, 0, 0], "a dry run asks nobody");
    Ok(())
}

#[tokio::test]
async fn a_killed_import_goes_on_from_its_checkpoint() -> Result<()> {
    let site = site()?;
    let lines: Vec<_> = (0..20_000)
        .map(|n| json!({"email": format!("u{n}@example.com"), "password_hash": TEST}).to_string())
        .collect();
    write(&site, "users.jsonl", &lines.join("\n"))?;
    let state = site.folder().join("state");
    let arguments = ["user", "import", "users.jsonl", "--checkpoint", "state"];
    let mut killed = site.command(&arguments).stdout(Stdio::null()).spawn()?;
    crate::support::eventually_within(
        std::time::Duration::from_mins(1),
        "a checkpoint",
        async || Ok(state.exists()),
    )
    .await?;
    killed.kill()?;
    killed.wait()?;
    let reached: Value = serde_json::from_slice(&std::fs::read(&state)?)?;
    let line = reached["line"].as_u64().context("no line")?;
    assert!((1000..20_000).contains(&line), "{line}");

    // It judges all, and leaves the state as it is.
    let dry = ["users.jsonl", "--checkpoint", "state", "--dry-run"];
    let (_, report) = import(&site, &dry)?;
    assert_eq!(counts(&report), [20_000, 0, 0]);
    assert!(state.exists());
    let anew = [&["user", "import"][..], &dry, &["--report", "left"]].concat();
    assert_eq!(site.run(&anew)?.status.code(), Some(1));

    write(&site, "other.jsonl", &lines[0])?;
    let other = site.run(&["user", "import", "other.jsonl", "--checkpoint", "state"])?;
    assert_eq!(other.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&other.stderr).contains("another input"));

    let (code, report) = import(&site, &["users.jsonl", "--checkpoint", "state"])?;
    let [imported, present, refused] = counts(&report);
    assert_eq!((code, imported + present, refused), (Some(0), 20_000, 0));
    // At most the chunk whose checkpoint was not written was done twice.
    assert!(present <= 1000, "{present}");
    assert!(!state.exists(), "a finished import leaves no checkpoint");
    Ok(())
}
