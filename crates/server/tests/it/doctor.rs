//! What is wrong with an installation, and the commands that describe this program.

use std::{fs, os::unix::fs::PermissionsExt};

use anyhow::{Context, Result};
use serde_json::Value;
use sso_testkit::{
    pki::{Authority, Wanted},
    process::Site,
};
use time::Duration;

use crate::{
    network::tls::now,
    support::{SSO, site},
};

/// Exit code, and for a check how bad it is and what to do.
fn doctor(site: &Site, arguments: &[&str]) -> Result<(Option<i32>, Vec<Value>)> {
    let all = [&["doctor", "--output", "json"], arguments].concat();
    let output = site.run(&all)?;
    let report: Value = serde_json::from_slice(&output.stdout)
        .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
    let findings = report["findings"].as_array().context("no findings")?;
    Ok((output.status.code(), findings.clone()))
}

fn find<'a>(findings: &'a [Value], check: &str, severity: &str) -> &'a Value {
    findings
        .iter()
        .find(|finding| finding["check"] == check && finding["severity"] == severity)
        .unwrap_or(&Value::Null)
}

#[tokio::test]
async fn a_sound_installation_is_healthy_before_and_while_it_runs() -> Result<()> {
    let mut site = site()?;
    site.unset("SSO__PASSWORDS__ARGON2_MEMORY")
        .unset("SSO__PASSWORDS__ARGON2_ITERATIONS")
        .unset("SSO__LOGIN__FAILURE_FLOOR")
        .set("SSO__HTTP__MAX_CONNECTIONS", 100)
        .set("SSO__GRPC__MAX_CONNECTIONS", 100);
    let (code, findings) = doctor(&site, &["--strict"])?;
    assert_eq!(code, Some(0), "{findings:?}");
    assert!(!site.data_dir().exists(), "it makes nothing");
    let _server = site.serve().await?;
    let (code, findings) = doctor(&site, &["--strict"])?;
    assert_eq!(code, Some(0), "{findings:?}");
    for check in [
        "configuration",
        "data_dir",
        "database",
        "schema",
        "keys",
        "events",
        "server",
    ] {
        assert!(
            !find(&findings, check, "ok").is_null(),
            "{check} in {findings:?}"
        );
    }
    assert!(site.run_ok(&["doctor"])?.contains("ok       keys: 2 open"));
    Ok(())
}

#[test]
fn weak_settings_are_warnings_with_a_remedy() -> Result<()> {
    let mut site = site()?;
    site.set("SSO__PASSWORDS__MIN_LENGTH", 4)
        .set("SSO__PASSWORDS__REFUSE_COMMON", false)
        .set("SSO__TOKENS__ACCESS_TTL", "2h")
        .set("SSO__TOKENS__MODE", "hs256")
        .set("SSO__TOKENS__HS256_SECRET", "short")
        .set("SSO__TOKENS__HS256_ACCEPT_WEAK", true)
        .set("SSO__SESSIONS__IDLE_TTL", "1h")
        .set("SSO__HTTP__LISTEN", "0.0.0.0:0")
        .set("SSO__HTTP__EXPOSE_METRICS", true)
        .set("SSO__HTTP__TRUSTED_PROXIES", "10.0.0.0/8, ::/0")
        .set("SSO__THROTTLE__ENABLED", false)
        .set("SSO__LOG__LEVEL", "sso_http=info,trace")
        .set("SSO__GRPC__LISTEN", "0.0.0.0:0")
        .set("SSO__GRPC__REQUIRE_CALLER", false);
    let (code, findings) = doctor(&site, &[])?;
    assert_eq!(code, Some(0), "{findings:?}");
    for check in [
        "passwords.argon2_memory",
        "passwords.min_length",
        "passwords.refuse_common",
        "login.failure_floor",
        "tokens.access_ttl",
        "tokens.hs256_secret",
        "sessions.idle_ttl",
        "http.listen",
        "http.public_url",
        "http.expose_metrics",
        "http.trusted_proxies",
        "throttle.enabled",
        "log.level",
        "grpc.listen",
        "grpc.require_caller",
    ] {
        let finding = find(&findings, check, "warning");
        assert!(finding["remedy"].is_string(), "{check} in {findings:?}");
    }
    assert_eq!(doctor(&site, &["--strict"])?.0, Some(1));
    Ok(())
}

#[tokio::test]
async fn what_must_be_repaired_is_an_error_with_a_remedy() -> Result<()> {
    let site = site()?;
    drop(site.serve().await?);
    let key = site.data_dir().join("master.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644))?;
    let (code, findings) = doctor(&site, &[])?;
    assert_eq!(code, Some(1));
    let finding = find(&findings, "keys.master_key", "error");
    assert!(
        finding["remedy"]
            .as_str()
            .is_some_and(|text| text.contains("chmod 600"))
    );

    // A key of another database.
    fs::write(&key, "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2U=\n")?;
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600))?;
    let (code, findings) = doctor(&site, &[])?;
    assert_eq!(code, Some(1));
    let wrong = find(&findings, "keys", "error");
    assert!(
        wrong["remedy"]
            .as_str()
            .is_some_and(|text| text.contains("this database was made with")),
        "{findings:?}"
    );
    assert!(
        !findings
            .iter()
            .any(|finding| finding.to_string().contains("c2VjcmV0"))
    );

    fs::remove_file(&key)?;
    let (code, findings) = doctor(&site, &[])?;
    assert_eq!(code, Some(1));
    let gone = find(&findings, "keys", "error");
    assert!(
        gone["remedy"]
            .as_str()
            .is_some_and(|text| text.contains("restore its file")),
        "{findings:?}"
    );

    crate::audit::age(
        &site,
        "UPDATE outbox SET status = 'Failed'; INSERT INTO outbox (id, user_id, shard, kind, payload,
         status, attempts, created_at) VALUES (zeroblob(16), zeroblob(16), 0, 'registration', x'00',
         'Failed', 5, 0); INSERT INTO audit (at, action, result, actor, times)
         VALUES (9000000000000000, 'login', 'success', 'operator', 1)",
    )?;
    let (_, findings) = doctor(&site, &[])?;
    assert!(
        !find(&findings, "events", "error").is_null(),
        "{findings:?}"
    );
    assert!(!find(&findings, "clock", "error").is_null(), "{findings:?}");
    Ok(())
}

/// Seen red: without a look at the files.
#[test]
fn certificates_are_refused_by_the_words_of_a_start() -> Result<()> {
    let mut site = site()?;
    let [certificate, key] = ["cert.pem", "key.pem"].map(|name| site.folder().join(name));
    site.set("SSO__GRPC__TLS_CERT", certificate.display())
        .set("SSO__GRPC__TLS_KEY", key.display());
    let refused = |check: &str| -> Result<()> {
        let (code, findings) = doctor(&site, &[])?;
        let what = find(&findings, check, "error")["what"].clone();
        let what = what.as_str().with_context(|| format!("{findings:?}"))?;
        let start = site.run(&["serve"])?;
        let said = String::from_utf8(start.stderr)?;
        assert_eq!((code, start.status.code()), (Some(1), Some(78)), "{said}");
        assert!(said.contains(&format!("{check}: {what}")), "{what}: {said}");
        Ok(())
    };
    refused("grpc.tls_cert")?;
    let authority = Authority::new()?;
    let mut wanted = Wanted::of(&["localhost"], now());
    let issued = authority.issue(&wanted)?;
    fs::write(&certificate, &issued.certificate)?;
    fs::write(&key, authority.issue(&wanted)?.key)?;
    refused("grpc.tls_key")?;

    fs::write(&key, &issued.key)?;
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644))?;
    let (_, findings) = doctor(&site, &[])?;
    let remedy = find(&findings, "grpc.tls_key", "error")["remedy"].as_str();
    assert_eq!(remedy, Some(&*format!("chmod 600 {}", key.display())));
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600))?;
    let (code, findings) = doctor(&site, &[])?;
    assert_eq!(code, Some(0), "{findings:?}");
    assert!(!find(&findings, "grpc.tls_cert", "ok").is_null());

    wanted.lasts = Duration::days(4);
    let issued = authority.issue(&wanted)?;
    fs::write(&certificate, &issued.certificate)?;
    fs::write(&key, &issued.key)?;
    let (_, findings) = doctor(&site, &[])?;
    let soon = find(&findings, "grpc.tls_cert", "warning");
    assert!(soon["remedy"].is_string(), "{findings:?}");
    Ok(())
}

/// Whether there is a database in a folder that cannot be looked into nobody can tell.
#[test]
fn what_cannot_be_looked_into_is_not_called_not_there_yet() -> Result<()> {
    let mut site = site()?;
    let file = site.folder().join("file");
    fs::write(&file, "")?;
    site.set("SSO__DATA_DIR", file.display());
    let (code, findings) = doctor(&site, &[])?;
    assert_eq!(code, Some(1), "{findings:?}");
    let told = find(&findings, "data_dir", "error");
    assert_eq!(told["remedy"], "choose another data_dir", "{findings:?}");
    let of_database = findings.iter().any(|one| one["check"] == "database");
    assert!(!of_database, "{findings:?}");
    Ok(())
}

#[test]
fn the_limit_of_open_files_is_the_one_to_which_a_server_raises_its_own() -> Result<()> {
    for (limit, severity) in [("-S -n 64", "ok"), ("-n 64", "warning")] {
        let folder = tempfile::tempdir()?;
        let script = folder.path().join("sso");
        let text = format!("#!/bin/sh\nulimit {limit}\nexec {SSO} \"$@\"\n");
        fs::write(&script, text)?;
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
        let mut site = Site::new(script)?;
        site.set("SSO__HTTP__MAX_CONNECTIONS", 100)
            .set("SSO__GRPC__MAX_CONNECTIONS", 100);
        let (_, findings) = doctor(&site, &[])?;
        let found = find(&findings, "open files", severity);
        assert!(!found.is_null(), "{limit}: {findings:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_damaged_database_is_told_and_not_touched() -> Result<()> {
    let site = site()?;
    let mut server = site.serve().await?;
    server.terminate()?;
    server.wait(std::time::Duration::from_secs(20)).await?;
    let file = site.data_dir().join("sso.db");
    let mut bytes = fs::read(&file)?;
    let middle = 4096..bytes.len().min(12 * 4096);
    bytes[middle].fill(0x5a);
    fs::write(&file, &bytes)?;
    let (code, findings) = doctor(&site, &[])?;
    assert_eq!(code, Some(1));
    assert!(
        !find(&findings, "database", "error").is_null(),
        "{findings:?}"
    );
    assert_eq!(fs::read(&file)?, bytes);
    Ok(())
}

#[test]
fn a_configuration_that_cannot_be_loaded_is_told_as_findings() -> Result<()> {
    let mut site = site()?;
    site.set("SSO__LOG__LEVEL", "loud")
        .set("SSO__HTTP__LISTEN", "here");
    let (code, findings) = doctor(&site, &[])?;
    assert_eq!((code, findings.len()), (Some(78), 2), "{findings:?}");
    Ok(())
}

#[test]
fn the_command_line_describes_itself() -> Result<()> {
    let site = site()?;
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = site.run_ok(&["completions", shell])?;
        assert!(script.contains("end-sessions"), "{shell}");
    }
    assert_eq!(site.run(&["completions", "dos"])?.status.code(), Some(64));
    assert!(site.run_ok(&["man"])?.contains(".TH sso 1"));
    site.run_ok(&["man", "--dir", "man"])?;
    for page in ["sso.1", "sso-user-import.1", "sso-audit.1"] {
        let text = fs::read_to_string(site.folder().join("man").join(page))?;
        assert!(text.contains(".SH NAME"), "{page}");
    }
    for help in [
        &["user", "import", "--help"][..],
        &["audit", "--help"],
        &["doctor", "--help"],
    ] {
        assert!(site.run_ok(help)?.contains("Examples:"), "{help:?}");
    }
    Ok(())
}
