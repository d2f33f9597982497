//! Instances side by side, and commands beside them.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};
use sso_testkit::{
    persona::Persona,
    process::Server,
    servers::{Pair, Postgres},
};

use super::*;
use crate::support::{eventually, eventually_within};

#[tokio::test]
async fn two_instances_are_one_service() -> Result<()> {
    let server = Postgres::shared().await?;
    let url = server.database("instances_two").await?;
    let (site, other) = (on(&url)?, unmigrated(&url)?);
    // Both make keys at once, and use the same.
    let (one, two) = tokio::try_join!(site.serve(), other.serve())?;

    let mut alice = Persona::register(&one.http, "alice").await?;
    let mut there = alice.at(&two.http);
    assert_eq!(there.info().await?.status, StatusCode::OK);
    assert_eq!(there.login().await?.status, StatusCode::OK);
    assert_eq!(there.refresh().await?.status, StatusCode::OK);
    assert_eq!(alice.refresh().await?.status, StatusCode::OK);
    let again = two
        .http
        .post(
            "/auth/registration",
            &json!({"email": "ALICE@example.com", "password": "a long enough one"}),
        )
        .await;
    assert_eq!(again?.status, StatusCode::CONFLICT);

    // Over here, and after the next beat over there.
    let ended = alice.logout(&alice.access, true).await?;
    assert_eq!(ended.status, StatusCode::OK);
    assert_eq!(alice.info().await?.status, StatusCode::UNAUTHORIZED);
    eventually("the end of the session everywhere", async || {
        Ok(there.info().await?.status == StatusCode::UNAUTHORIZED)
    })
    .await?;
    assert_eq!(there.refresh().await?.status, StatusCode::UNAUTHORIZED);
    Ok(())
}

// While a command runs the client must notice that an idle connection is closed.
#[tokio::test(flavor = "multi_thread")]
async fn commands_work_beside_running_servers() -> Result<()> {
    let server = Postgres::shared().await?;
    let mut site = on(&server.database("instances_commands").await?)?;
    // A command that takes access away waits for a lease and the fence.
    site.set("SSO__REVOCATION__LEASE", "1s")
        .set("SSO__REVOCATION__FENCE", "0s");
    let serving = site.serve().await?;
    let done = commands(&site, &serving).await;
    done.with_context(|| site.log().unwrap_or_default())
}

async fn commands(site: &Site, serving: &Server) -> Result<()> {
    let alice = Persona::register(&serving.http, "alice").await?;
    let listed: Value = serde_json::from_str(&site.run_ok(&["user", "list", "--output", "json"])?)?;
    assert!(listed.to_string().contains(&alice.email), "{listed}");
    site.run_ok(&["user", "set-admin", &alice.email])?;
    let shown: Value =
        serde_json::from_str(&site.run_ok(&["user", "show", &alice.email, "--output", "json"])?)?;
    assert!(shown.to_string().contains("\"is_admin\":true"), "{shown}");
    site.run_ok(&["user", "disable", &alice.email])?;
    eventually("the end of his access", async || {
        Ok(alice.info().await?.status == StatusCode::UNAUTHORIZED)
    })
    .await?;
    assert_eq!(
        alice.try_login(&alice.password).await?.status,
        StatusCode::FORBIDDEN
    );
    let keys: Value = serde_json::from_str(&site.run_ok(&["keys", "list", "--output", "json"])?)?;
    assert_eq!(keys.as_array().map(Vec::len), Some(2), "{keys}");
    site.run_ok(&["events", "list", "--output", "json"])?;
    site.run_ok(&["audit", "--output", "json"])?;
    let found: Value = serde_json::from_str(&site.run_ok(&["doctor", "--output", "json"])?)?;
    assert_eq!(found["healthy"], true, "{found}");
    assert!(!found.to_string().contains("super-test"), "{found}");
    Ok(())
}

async fn metrics(server: &Server) -> Result<String> {
    let reply = server.admin.get("/metrics", None).await?;
    Ok(String::from_utf8(reply.bytes.to_vec())?)
}

#[tokio::test]
async fn replicas_carry_reads_and_what_they_lack_is_asked_of_the_primary() -> Result<()> {
    let pair = Pair::start().await?;
    let mut site = on(&pair.primary.url("postgres"))?;
    let replica = &pair.replicas[0].node;
    site.set("SSO__DATABASE__REPLICAS", replica.url("postgres"));
    let serving = site.serve().await?;
    let reads = async |role: &str| -> Result<f64> {
        let metrics = metrics(&serving).await?;
        let series = format!("sso_store_reads_total{{role=\"{role}\"}} ");
        let line = metrics.lines().find_map(|line| line.strip_prefix(&*series));
        Ok(line.context("no such series")?.parse()?)
    };
    let alice = Persona::register(&serving.http, "alice").await?;
    eventually_within(
        Duration::from_secs(20),
        "reads of the replica",
        async || {
            assert_eq!(alice.info().await?.status, StatusCode::OK);
            Ok(reads("replica").await? > 0.0)
        },
    )
    .await?;
    let metrics = metrics(&serving).await?;
    let lag = format!(
        "sso_store_replica_lag_seconds{{replica=\"{}\"}}",
        replica.address()
    );
    assert!(metrics.contains(&lag), "{metrics}");

    replica.pause_replay().await?;
    for round in 0..20 {
        let mut bob = Persona::register(&serving.http, &format!("bob{round}")).await?;
        assert_eq!(bob.info().await?.status, StatusCode::OK);
        assert_eq!(bob.login().await?.status, StatusCode::OK);
        assert_eq!(bob.refresh().await?.status, StatusCode::OK);
    }
    replica.resume_replay().await?;
    Ok(())
}
