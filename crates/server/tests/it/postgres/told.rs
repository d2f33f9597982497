//! What an operator is told of the servers: readiness, and `sso doctor`.

use std::time::Duration;

use anyhow::ensure;
use serde_json::Value;
use sso_testkit::servers::{Options, SUPERUSER_PASSWORD};

use super::{
    cluster::{Instance, instance, pair},
    *,
};
use crate::support::eventually_within;

const LONG: Duration = Duration::from_secs(20);

/// The dependency of this name, as anybody sees it and as the operator does.
async fn dependency(at: &Instance, name: &str) -> Result<(Value, Value)> {
    let public = at.server.http.get("/auth/ready", None).await?;
    let inner = at.server.admin.get("/auth/ready", None).await?;
    ensure!(public.status == 200 && inner.status == 200, "{inner:?}");
    let find = |report: &Value| {
        let all = report["dependencies"].as_array()?;
        all.iter().find(|one| one["name"] == name).cloned()
    };
    let (public, inner) = (public.json(), inner.json());
    let found = find(&public).zip(find(&inner));
    found.with_context(|| format!("no {name}: {inner}"))
}

async fn state(at: &Instance) -> Result<Value> {
    let reply = at.server.http.get("/auth/ready", None).await?;
    Ok(reply.json()["state"].clone())
}

#[tokio::test]
async fn readiness_tells_of_each_replica_since_when_and_how_far_behind() -> Result<()> {
    let (mut pair, urls) = pair(2).await?;
    let mut site = instance(&pair.primary.url("postgres"), &urls)?;
    site.set("SSO__DATABASE__MAX_LAG", "1s");
    let at = Instance::start(site).await?;
    let ready = async || -> Result<bool> { Ok(state(&at).await? == "ready") };
    eventually_within(LONG, "readiness", ready).await?;
    let (up, _) = dependency(&at, "replica-1").await?;
    assert_eq!(up["state"], "up");

    pair.replicas[0].node.pause_replay().await?;
    let down = async |name: &'static str| -> Result<bool> {
        Ok(dependency(&at, name).await?.0["state"] == "down")
    };
    eventually_within(LONG, "the lag", async || down("replica-1").await).await?;
    let (public, inner) = dependency(&at, "replica-1").await?;
    assert_eq!(state(&at).await?, "degraded");
    assert_eq!(
        public["detail"],
        "it is not read: other servers carry its reads"
    );
    ensure!(public["since"].as_str() > up["since"].as_str(), "{public}");
    let address = pair.replicas[0].node.address().to_string();
    ensure!(!public.to_string().contains(&address), "{public}");
    let cause = inner["cause"].as_str().unwrap_or_default();
    ensure!(
        cause.starts_with(&address) && cause.ends_with("s behind, more than database.max_lag"),
        "{inner}"
    );
    let (other, _) = dependency(&at, "replica-2").await?;
    assert_eq!(other["state"], "up");

    pair.replicas[0].node.resume_replay().await?;
    eventually_within(LONG, "readiness", ready).await?;
    pair.replicas[1].node.kill9().await?;
    eventually_within(LONG, "the loss", async || down("replica-2").await).await?;
    let (_, inner) = dependency(&at, "replica-2").await?;
    let address = pair.replicas[1].node.address();
    let away = format!("{address} does not answer as a replica");
    assert_eq!(inner["cause"], away, "{inner}");
    pair.replicas[1].node.start().await?;
    eventually_within(LONG, "readiness", ready).await?;
    Ok(())
}

/// What `sso doctor` says of this: its severity, its sentence, its remedy.
fn finding<'a>(report: &'a Value, check: &str) -> Vec<(&'a str, &'a str, &'a str)> {
    let all = report["findings"].as_array().into_iter().flatten();
    all.filter(|one| one["check"] == check)
        .map(|one| {
            let text = |member: &str| one[member].as_str().unwrap_or_default();
            (text("severity"), text("what"), text("remedy"))
        })
        .collect()
}

fn doctor(site: &Site) -> Result<Value> {
    let output = site.run(&["doctor", "--output", "json"])?;
    Ok(serde_json::from_slice(&output.stdout)?)
}

#[tokio::test]
async fn doctor_tells_the_servers_roles_and_what_to_do_about_them() -> Result<()> {
    let (mut pair, urls) = pair(1).await?;
    let (primary, replica) = (pair.primary.address(), pair.replicas[0].node.address());
    let site = instance(&pair.primary.url("postgres"), &urls)?;
    let said = doctor(&site)?;
    let [("ok", what, _)] = finding(&said, "database.url")[..] else {
        anyhow::bail!("{said}");
    };
    let start = format!("{primary} is the primary (timeline 1, PostgreSQL ");
    ensure!(what.starts_with(&start), "{said}");
    let [("ok", what, _)] = finding(&said, "database.replicas")[..] else {
        anyhow::bail!("{said}");
    };
    let start = format!("{replica} is a replica (timeline 1, PostgreSQL ");
    ensure!(
        what.starts_with(&start) && what.ends_with(" ms behind"),
        "{said}"
    );
    let [("warning", what, _)] = finding(&said, "synchronous commit")[..] else {
        anyhow::bail!("{said}");
    };
    ensure!(what.starts_with("no commit waits for a standby"), "{said}");
    assert_eq!(finding(&said, "rights")[0].0, "ok");

    pair.primary
        .set("synchronous_standby_names", "ANY 1 (*)")
        .await?;
    pair.replicas[0].node.pause_replay().await?;
    let said = doctor(&site)?;
    assert_eq!(
        finding(&said, "synchronous commit"),
        [("ok", "a commit waits for ANY 1 (*)", "")]
    );
    let [("warning", what, remedy)] = finding(&said, "database.replicas")[..] else {
        anyhow::bail!("{said}");
    };
    ensure!(what.contains("replay is paused"), "{said}");
    assert_eq!(remedy, "select pg_wal_replay_resume() there");

    pair.replicas[0].node.resume_replay().await?;
    pair.replicas[0].node.delay(Duration::from_secs(30)).await?;
    pair.primary.set("synchronous_standby_names", "").await?;
    pair.primary
        .execute("create table written (at int)")
        .await?;
    let said = doctor(&site)?;
    let [("warning", what, _)] = finding(&said, "database.replicas")[..] else {
        anyhow::bail!("{said}");
    };
    ensure!(what.contains("does not show within 2 seconds"), "{said}");

    pair.replicas[0].node.kill9().await?;
    let said = doctor(&site)?;
    let [("warning", what, _)] = finding(&said, "database.replicas")[..] else {
        anyhow::bail!("{said}");
    };
    let start = format!("{replica} cannot be asked: ");
    ensure!(what.starts_with(&start), "{said}");
    ensure!(!said.to_string().contains(SUPERUSER_PASSWORD), "{said}");
    Ok(())
}

#[tokio::test]
async fn doctor_tells_which_right_is_missing() -> Result<()> {
    let server = Options::new().start().await?;
    server
        .execute("create role plain login password 'plain'")
        .await?;
    server.execute("create database plain owner plain").await?;
    let url = format!("postgres://plain:plain@{}/plain", server.node.address());
    let site = on(&url)?;
    let said = doctor(&site)?;
    let [("warning", what, remedy)] = finding(&said, "rights")[..] else {
        anyhow::bail!("{said}");
    };
    ensure!(
        what.contains("does not see how far the standbys are"),
        "{said}"
    );
    server.execute(remedy).await?;
    let said = doctor(&site)?;
    assert_eq!(finding(&said, "rights")[0].0, "ok", "{said}");
    Ok(())
}
