//! The audit log: what is in it, what is not, and how a person reads it.

use anyhow::{Context, Result};
use http::Method;
use serde_json::{Value, json};
use sso_testkit::{
    persona::Persona,
    process::{Server, Site},
};

use crate::support::{eventually, site};

/// A page of the log, as JSON.
fn log(site: &Site, arguments: &[&str]) -> Result<Vec<Value>> {
    let all = [&["audit", "--output", "json"], arguments].concat();
    Ok(serde_json::from_str(&site.run_ok(&all)?)?)
}

/// Action, result and actor, newest first.
fn told(records: &[Value]) -> Vec<(&str, &str, &str)> {
    records
        .iter()
        .map(|record| {
            let member = |name: &str| record[name].as_str().unwrap_or_default();
            (member("action"), member("result"), member("actor"))
        })
        .collect()
}

async fn alice(server: &Server) -> Result<Persona> {
    Persona::register(&server.http, "alice").await
}

#[tokio::test]
async fn what_a_user_does_is_told_with_whom_and_from_where() -> Result<()> {
    let site = site()?;
    let server = site.serve().await?;
    let mut alice = alice(&server).await?;
    let body = json!({ "email": alice.email, "password": alice.password }).to_string();
    let agent = [
        ("user-agent", "test/1.0"),
        ("content-type", "application/json"),
    ];
    let login = server
        .http
        .send(Method::POST, "/auth/login", &agent, body)
        .await?;
    alice.logout(&login.text("access_token"), false).await?;
    alice.change_password("quite another secret").await?;
    alice.logout(&alice.access, true).await?;

    let records = log(&site, &["--user", &alice.email])?;
    assert_eq!(
        told(&records),
        [
            ("logout_everywhere", "success", "user"),
            ("password_change", "success", "user"),
            ("logout", "success", "user"),
            ("login", "success", "user"),
            ("register", "success", "user"),
        ]
    );
    for record in &records {
        assert_eq!(record["user_id"], alice.id.as_str());
        assert_eq!(record["actor_id"], alice.id.as_str());
        assert_eq!(record["email"], alice.email.as_str());
        assert_eq!(record["address"], "127.0.0.1");
        assert!(record["session_id"].is_string(), "{record}");
    }
    assert_eq!(records[3]["agent"], "test/1.0");
    Ok(())
}

#[tokio::test]
async fn what_the_operator_does_is_told_of_the_user_it_is_done_to() -> Result<()> {
    let site = site()?;
    let server = site.serve().await?;
    let alice = alice(&server).await?;
    std::fs::write(site.folder().join("new"), "a password of the operator")?;
    for command in [
        &["disable"][..],
        &["enable"],
        &["set-admin"],
        &["set-admin", "--revoke"],
        &["set-password", "--password-file", "new"],
        &["end-sessions"],
    ] {
        site.run_ok(&[&["user"], command, &[&alice.email]].concat())?;
    }
    let records = log(&site, &["--actor", "operator", "--since", "1h"])?;
    let actions: Vec<_> = told(&records)
        .into_iter()
        .map(|(action, ..)| action)
        .collect();
    assert_eq!(
        actions,
        [
            "sessions_end",
            "password_set",
            "admin_take",
            "admin_grant",
            "user_enable",
            "user_disable",
        ]
    );
    assert!(
        records
            .iter()
            .all(|record| record["user_id"] == alice.id.as_str())
    );
    assert!(
        records[0]["agent"]
            .as_str()
            .is_some_and(|agent| agent.contains("uid"))
    );
    Ok(())
}

#[tokio::test]
async fn refused_logins_are_summed_up_so_that_nobody_fills_the_disk() -> Result<()> {
    let mut site = site()?;
    // Else most of them would not be admitted, and one that is not admitted is no login.
    site.set("SSO__THROTTLE__ENABLED", false);
    let mut server = site.serve().await?;
    let alice = alice(&server).await?;
    assert_eq!(
        alice.try_login("not the secret").await?.code(),
        "invalid_credentials"
    );
    eventually("the first is told", async || {
        Ok(log(&site, &["--action", "login"])?.len() == 1)
    })
    .await?;
    for _ in 0..20 {
        alice.try_login("not the secret").await?;
    }
    let nobody = json!({ "email": "nobody@example.com", "password": "not the secret" });
    server.http.post("/auth/login", &nobody).await?;
    server.terminate()?;
    server.wait(std::time::Duration::from_secs(20)).await?;

    let records = log(&site, &["--action", "login", "--result", "refused"])?;
    let mut told: Vec<_> = records
        .iter()
        .map(|record| (record["user_id"].as_str(), record["times"].as_u64()))
        .collect();
    told.sort_unstable();
    let (id, unknown) = (Some(alice.id.as_str()), None);
    assert_eq!(told, [(unknown, Some(1)), (id, Some(1)), (id, Some(20))]);
    let text = site.run_ok(&["audit"])?;
    assert!(!text.contains("nobody@example.com"), "{text}");
    Ok(())
}

#[tokio::test]
async fn what_is_throttled_is_told_by_its_rule_and_summed_up() -> Result<()> {
    let mut site = site()?;
    site.set("SSO__THROTTLE__REQUESTS_PER_SECOND", 20);
    let mut server = site.serve().await?;
    let alice = alice(&server).await?;
    let mut refused = 0;
    for _ in 0..9 {
        let reply = alice.try_login("not the secret").await?;
        refused += u64::from(reply.status == 429);
    }
    assert!(refused >= 3, "{refused}");
    let mut flooded = 0;
    while flooded < 50 {
        let reply = server.http.get("/auth/healthz", None).await?;
        flooded += u64::from(reply.status == 429);
    }
    server.terminate()?;
    server.wait(std::time::Duration::from_secs(20)).await?;
    let records = log(&site, &["--action", "throttle", "--result", "refused"])?;
    assert!(records.len() <= 4, "{records:?}");
    for (rule, times) in [("account_network", refused), ("address", flooded)] {
        let of_rule = records.iter().filter(|record| record["detail"] == rule);
        let told: u64 = of_rule
            .map(|record| {
                assert_eq!(record["address"], "127.0.0.1");
                record["times"].as_u64().unwrap_or_default()
            })
            .sum();
        assert_eq!(told, times, "{rule}");
    }
    let text = site.run_ok(&["audit", "--action", "throttle"])?;
    assert!(text.contains("refused  throttle"), "{text}");
    Ok(())
}

#[tokio::test]
async fn who_changes_keys_or_the_log_level_is_told() -> Result<()> {
    let site = site()?;
    let server = site.serve().await?;
    std::fs::write(
        site.folder().join("new.key"),
        "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
    )?;
    site.run_ok(&["keys", "reseal", "--new-master-key-file", "new.key"])?;
    let body = r#"{"level":"warn,sso_http=debug"}"#;
    for _ in 0..3 {
        let set = server
            .admin
            .bearer(Method::PUT, "/log-level", None, body)
            .await?;
        assert_eq!(set.status, 200);
    }
    let refused = r#"{"level":"no level at all"}"#;
    let set = server
        .admin
        .bearer(Method::PUT, "/log-level", None, refused)
        .await?;
    assert_eq!(set.status, 400);
    eventually("the level is told", async || {
        Ok(!log(&site, &["--action", "log_level"])?.is_empty())
    })
    .await?;
    let records = log(&site, &[])?;
    assert_eq!(
        told(&records),
        [
            ("log_level", "success", "anonymous"),
            ("keys_reseal", "success", "operator"),
        ]
    );
    assert_eq!(records[0]["detail"], "warn,sso_http=debug");
    assert_eq!(records[0]["address"], "127.0.0.1");
    assert_eq!(records[1]["detail"], "2 keys");
    let text = site.run_ok(&["audit"])?;
    assert!(text.contains("keys_reseal        -  by operator"), "{text}");
    Ok(())
}

#[tokio::test]
async fn a_stolen_refresh_token_is_told_when_it_ends_the_session() -> Result<()> {
    let mut site = site()?;
    site.set("SSO__SESSIONS__REFRESH_GRACE", "0s");
    let server = site.serve().await?;
    let mut alice = alice(&server).await?;
    let stolen = alice.refresh.clone();
    alice.refresh().await?;
    assert_eq!(
        alice.use_refresh_token(&stolen).await?.code(),
        "token_revoked"
    );
    assert_eq!(
        alice.use_refresh_token(&stolen).await?.code(),
        "token_revoked"
    );
    let records = log(&site, &["--action", "refresh_reuse"])?;
    assert_eq!(told(&records), [("refresh_reuse", "refused", "anonymous")]);
    assert_eq!(records[0]["user_id"], alice.id.as_str());
    Ok(())
}

#[tokio::test]
async fn a_person_reads_one_line_a_record_and_no_agent_breaks_it() -> Result<()> {
    let site = site()?;
    let server = site.serve().await?;
    let body = json!({ "email": "eve@example.com", "password": "the secret of eve" });
    let agent = "eve\u{9b}31m \u{202e}\" result=success";
    let headers = [("user-agent", agent), ("content-type", "application/json")];
    server
        .http
        .send(
            Method::POST,
            "/auth/registration",
            &headers,
            body.to_string(),
        )
        .await?;
    let text = site.run_ok(&["audit"])?;
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.contains("register") && text.contains("eve@example.com  by himself"));
    assert!(
        text.is_ascii()
            || !text
                .chars()
                .any(|c| c == '\u{202e}' || (c.is_control() && c != '\n'))
    );
    Ok(())
}

#[test]
fn a_filter_that_is_none_is_wrong_usage_and_nothing_is_opened() -> Result<()> {
    let site = site()?;
    for (flag, remedy) in [
        ("--user", "his id"),
        ("--actor", "service:NAME"),
        ("--since", "30d"),
        ("--until", "30d"),
    ] {
        let wrong = site.run(&["audit", flag, "yesterday"])?;
        let said = String::from_utf8_lossy(&wrong.stderr);
        assert_eq!(wrong.status.code(), Some(64), "{flag}: {said}");
        assert!(said.contains(flag) && said.contains(remedy), "{said}");
    }
    assert!(!site.data_dir().exists(), "a database was made");
    Ok(())
}

#[tokio::test]
async fn pages_follow_each_other_and_old_records_are_swept() -> Result<()> {
    let mut site = site()?;
    let server = site.serve().await?;
    for name in ["a", "b", "c"] {
        Persona::register(&server.http, name).await?;
    }
    let first = log(&site, &["--limit", "2"])?;
    let before = first[1]["sequence"].to_string();
    let rest = log(&site, &["--before", &before])?;
    assert_eq!((first.len(), rest.len()), (2, 1));
    assert_eq!(rest[0]["email"], "a@example.com");
    assert!(log(&site, &["--until", "2020-01-01T00:00:00Z"])?.is_empty());
    let unknown = site.run(&["audit", "--action", "yawn"])?;
    assert_eq!(unknown.status.code(), Some(64));
    drop(server);

    // As if all of it had been written long ago.
    age(&site, "UPDATE audit SET at = at - 401 * 86400000000")?;
    site.set("SSO__JANITOR__INTERVAL", "1s");
    let server = site.serve().await?;
    eventually("the janitor has been", async || {
        Ok(log(&site, &[])?.is_empty())
    })
    .await?;
    let metrics = server.admin.get("/metrics", None).await?;
    let metrics = String::from_utf8_lossy(&metrics.bytes).into_owned();
    let line = r#"sso_janitor_deleted_total{table="audit"} 3"#;
    assert!(metrics.contains(line), "{metrics}");
    Ok(())
}

/// Changes what is stored while no server runs.
pub(crate) fn age(site: &Site, sql: &str) -> Result<()> {
    let file = site.data_dir().join("sso.db");
    let connection = rusqlite::Connection::open(file).context("no database")?;
    Ok(connection.execute_batch(sql)?)
}
