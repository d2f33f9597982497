//! Sessions that end by themselves, users who leave, what is kept and for how long.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use http::StatusCode;
use serde_json::Value;
use sso_testkit::persona::Persona;

use crate::{
    audit::age,
    support::{eventually, site, validate},
};

#[tokio::test]
async fn an_idle_session_is_over_and_one_that_is_used_goes_on() -> Result<()> {
    let mut site = site()?;
    site.set("SSO__TOKENS__ACCESS_TTL", "1s")
        .set("SSO__SESSIONS__IDLE_TTL", "2s");
    let server = site.serve().await?;
    let mut used = Persona::register(&server.http, "used").await?;
    let mut idle = Persona::register(&server.http, "idle").await?;
    let forgotten = idle.refresh.clone();
    // He who signs in sees which sessions of his are alive.
    idle.login().await?;
    let started = Instant::now();
    loop {
        assert_eq!(used.refresh().await?.status, StatusCode::OK);
        assert_eq!(idle.refresh().await?.status, StatusCode::OK);
        let list = server
            .http
            .get("/auth/sessions", Some(&idle.access))
            .await?;
        let alive = list.json()["sessions"].as_array().map_or(0, Vec::len);
        if alive == 1 {
            break;
        }
        assert!(started.elapsed() < Duration::from_secs(10), "{list:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(started.elapsed() > Duration::from_secs(1));
    assert_eq!(
        idle.use_refresh_token(&forgotten).await?.code(),
        "token_revoked"
    );
    Ok(())
}

#[tokio::test]
async fn a_deleted_user_is_gone_at_once_and_his_address_is_free() -> Result<()> {
    let site = site()?;
    let server = site.serve().await?;
    let mut grpc = server.grpc().await?;
    let mut alice = Persona::register(&server.http, "alice").await?;
    let said = site.run_ok(&["user", "delete", &alice.email, "--yes"])?;
    assert!(said.contains("everywhere"), "{said}");

    let refused = grpc.validate(validate(&alice.access)).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::Unauthenticated);
    assert_eq!(alice.info().await?.code(), "token_revoked");
    assert_eq!(
        alice.use_refresh_token(&alice.refresh).await?.code(),
        "token_revoked"
    );
    assert_eq!(alice.login().await?.code(), "invalid_credentials");
    assert_eq!(
        alice.logout(&alice.access, true).await?.status,
        StatusCode::OK
    );
    let unknown = site.run(&["user", "show", &alice.id])?;
    assert_eq!(unknown.status.code(), Some(1));

    let again = Persona::register(&server.http, "alice").await?;
    assert_ne!(again.id, alice.id);
    let records = site.run_ok(&["audit", "--user", &alice.id, "--output", "json"])?;
    let records: Vec<Value> = serde_json::from_str(&records)?;
    assert_eq!(records[0]["action"], "user_delete");
    let traces = records
        .iter()
        .filter(|record| record["actor"] != "operator");
    for record in traces {
        assert!(
            record["address"].is_null() && record["email"].is_null(),
            "{record}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn nothing_personal_of_a_deleted_user_is_left_in_the_database() -> Result<()> {
    let site = site()?;
    let mut server = site.serve().await?;
    let body = serde_json::json!({
        "email": "very.personal@example.com",
        "password": "the secret of alice",
        "name": "Unmistakable Person",
    });
    let headers = [
        ("user-agent", "peculiar-agent"),
        ("content-type", "application/json"),
    ];
    let reply = server
        .http
        .send(
            http::Method::POST,
            "/auth/registration",
            &headers,
            body.to_string(),
        )
        .await?;
    assert_eq!(reply.status, StatusCode::CREATED);
    eventually("the event is delivered", async || {
        Ok(site.log()?.contains("event delivered"))
    })
    .await?;
    site.run_ok(&["user", "delete", "very.personal@example.com"])?;
    server.terminate()?;
    server.wait(Duration::from_secs(20)).await?;

    // No VACUUM: what was deleted must not even lie in what is free.
    age(&site, "PRAGMA wal_checkpoint(TRUNCATE)")?;
    let stored = std::fs::read(site.data_dir().join("sso.db"))?;
    let stored = String::from_utf8_lossy(&stored).to_lowercase();
    for personal in [
        "very.personal",
        "unmistakable",
        "peculiar-agent",
        "127.0.0.1",
    ] {
        assert!(!stored.contains(personal), "{personal} is still there");
    }
    Ok(())
}

#[tokio::test]
async fn an_export_has_everything_but_the_hash() -> Result<()> {
    let site = site()?;
    let server = site.serve().await?;
    let mut alice = Persona::register(&server.http, "alice").await?;
    alice.login().await?;
    Persona::register(&server.http, "bob").await?;
    let text = site.run_ok(&["user", "export", &alice.email])?;
    let export: Value = serde_json::from_str(&text)?;
    assert_eq!(export["profile"]["email"], alice.email.as_str());
    let count = |part: &str| export[part].as_array().map_or(0, Vec::len);
    assert_eq!((count("sessions"), count("events")), (2, 1));
    // Registration, login, and this export itself.
    assert_eq!(count("audit"), 3);
    assert_eq!(export["sessions"][0]["address"], "127.0.0.1");
    for secret in ["argon2", "password_hash", "bob@"] {
        assert!(!text.contains(secret), "{secret} is in {text}");
    }
    Ok(())
}

#[tokio::test]
async fn the_janitor_takes_what_is_past_its_age_and_nothing_else() -> Result<()> {
    let mut site = site()?;
    let mut server = site.serve().await?;
    let alice = Persona::register(&server.http, "alice").await?;
    let bob = Persona::register(&server.http, "bob").await?;
    alice.logout(&alice.access, false).await?;
    eventually("the events are delivered", async || {
        Ok(site.log()?.matches("event delivered").count() == 2)
    })
    .await?;
    server.terminate()?;
    server.wait(Duration::from_secs(20)).await?;

    let day = 86_400_000_000_u64;
    age(
        &site,
        &format!(
            "UPDATE sessions SET revoked_at = revoked_at - {day} - 60000000;
             UPDATE revocations SET until = until - {day};
             UPDATE outbox SET delivered_at = delivered_at - 31 * {day}
             WHERE user_id = (SELECT id FROM users WHERE email = 'alice@example.com')"
        ),
    )?;
    site.set("SSO__JANITOR__INTERVAL", "1s")
        .set("SSO__JANITOR__BATCH", 1);
    let server = site.serve().await?;
    eventually("one of each is deleted", async || {
        let metrics = server.admin.get("/metrics", None).await?;
        let metrics = String::from_utf8_lossy(&metrics.bytes).into_owned();
        Ok(["sessions", "revocations", "outbox"].iter().all(|table| {
            metrics.contains(&format!(
                r#"sso_janitor_deleted_total{{table="{table}"}} 1"#
            ))
        }))
    })
    .await?;
    assert_eq!(
        bob.use_refresh_token(&bob.refresh).await?.status,
        StatusCode::OK
    );
    let export = |email: &str| -> Result<Value> {
        Ok(serde_json::from_str(
            &site.run_ok(&["user", "export", email])?,
        )?)
    };
    let events = |export: &Value| export["events"].as_array().map(Vec::len);
    assert_eq!(events(&export(&alice.email)?).context("no events")?, 0);
    assert_eq!(events(&export(&bob.email)?).context("no events")?, 1);
    Ok(())
}
