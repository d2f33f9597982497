//! What an operator is told of the servers: readiness, and `sso doctor`.

use std::time::Duration;

use anyhow::ensure;
use serde_json::Value;
use sso_testkit::{
    persona::Persona,
    servers::{Node, Options, Postgres, Proxy, SUPERUSER_PASSWORD},
};

use super::{
    cluster::{Instance, LEASE, instance, is_everywhere, pair},
    *,
};
use crate::support::{eventually_within, unique};

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

/// A site of a role that has no rights but on its own database.
async fn unprivileged(server: &Node) -> Result<Site> {
    server
        .execute("create role plain login password 'plain'")
        .await?;
    server.execute("create database plain owner plain").await?;
    on(&format!(
        "postgres://plain:plain@{}/plain",
        server.address()
    ))
}

#[tokio::test]
async fn doctor_tells_which_right_is_missing_where_there_is_a_standby() -> Result<()> {
    let alone = Options::new().start().await?;
    let said = doctor(&unprivileged(&alone.node).await?)?;
    let [("ok", what, _)] = finding(&said, "rights")[..] else {
        anyhow::bail!("{said}");
    };
    ensure!(what.contains("while there is no standby"), "{said}");

    let (pair, _) = pair(1).await?;
    let site = unprivileged(&pair.primary).await?;
    let said = doctor(&site)?;
    let [("warning", what, remedy)] = finding(&said, "rights")[..] else {
        anyhow::bail!("{said}");
    };
    ensure!(
        what.contains("does not see how far the standbys are"),
        "{said}"
    );
    pair.primary.execute(remedy).await?;
    let said = doctor(&site)?;
    assert_eq!(finding(&said, "rights")[0].0, "ok", "{said}");
    Ok(())
}

#[tokio::test]
async fn doctor_does_not_advise_to_go_on_without_the_only_server() -> Result<()> {
    let mut server = Options::new().start().await?;
    let site = on(&server.url())?;
    server.node.kill9().await?;
    let said = doctor(&site)?;
    let [("error", what, remedy)] = finding(&said, "database.url")[..] else {
        anyhow::bail!("{said}");
    };
    let start = format!("{} cannot be asked: ", server.node.address());
    ensure!(what.starts_with(&start), "{said}");
    ensure!(remedy.contains("no primary answers"), "{said}");
    Ok(())
}

/// The state of the leases: trusted or not and why, what is left of the lease, entries, the age of
/// the last beat, how long it took until a revocation was everywhere.
#[tokio::test(flavor = "multi_thread")]
async fn an_instance_and_doctor_tell_how_it_stands_with_revocations() -> Result<()> {
    let server = Postgres::shared().await?;
    let url = server.database("told_leases").await?;
    on(&url)?;
    let network = Proxy::start(server.node.address())?;
    let at = Instance::start(instance(&through(&url, network.address())?, &[])?).await?;
    let near = instance(&url, &[])?;
    at.settled().await?;
    let alice = Persona::register(&at.server.http, &unique()).await?;
    ensure!(is_everywhere(&alice.logout(&alice.access, true).await?));
    let metric = async |name: &str| {
        let series = format!("sso_revocation_{name}");
        at.server.admin.metric::<f64>(&series).await
    };
    let entries = metric("entries").await?;
    let lease = LEASE.as_secs_f64();
    eventually_within(LONG, "the state", async || {
        let left = metric("lease_seconds").await?;
        Ok(metric("trusted").await? > 0.0
            && left > 0.0
            && left <= lease
            && metric("entries").await? > 0.0
            && metric("beat_age_seconds").await? < lease)
    })
    .await
    .with_context(|| format!("{entries} entries"))?;
    let answers = metric("answers_total{reach=\"everywhere\"}").await?;
    let timed = metric("everywhere_seconds_count").await?;
    ensure!(answers >= 1.0 && timed >= 1.0, "{answers}, {timed}");
    let (public, inner) = dependency(&at, "revocation").await?;
    assert_eq!(public["state"], "up");
    let cause = inner["cause"].as_str().unwrap_or_default();
    for part in [
        "trusted for another",
        "the last beat",
        "entries on timeline 1",
    ] {
        ensure!(cause.contains(part), "{inner}");
    }
    let instances = async || -> Result<String> {
        let near = near.run(&["doctor", "--output", "json"])?;
        let said = serde_json::from_slice(&near.stdout)?;
        let found = finding(&said, "instances");
        let found = found
            .iter()
            .map(|(severity, what, _)| format!("{severity}: {what}"));
        let found: Vec<_> = found.collect();
        Ok(found.join("\n"))
    };
    let said = instances().await?;
    ensure!(said.starts_with("ok: 1 of 1 send beats; "), "{said}");

    network.freeze();
    eventually_within(LONG, "the end of the lease", async || {
        Ok(metric("trusted").await? <= 0.0)
    })
    .await?;
    let left = metric("lease_seconds").await?;
    ensure!(left <= 0.0, "{left}");
    let inner = at.server.admin.get("/auth/ready", None).await?;
    assert_eq!(inner.status, 503, "{inner:?}");
    let inner = inner.json().to_string();
    for part in ["not trusted: no lease runs", "the last beat was answered"] {
        ensure!(inner.contains(part), "{part}: {inner}");
    }
    let said = instances().await?;
    ensure!(
        said.starts_with("ok: 0 of 1 send beats; ") && said.contains("warning: "),
        "{said}"
    );
    ensure!(said.contains("sends no beats"), "{said}");
    network.mend();
    eventually_within(LONG, "trust", async || {
        Ok(metric("trusted").await? > 0.0 && state(&at).await? == "ready")
    })
    .await
}

/// A standby that is missed: revocations wait for it, and the operator is told for whom.
#[tokio::test]
async fn doctor_tells_for_which_standby_revocations_wait() -> Result<()> {
    let (mut pair, urls) = pair(1).await?;
    let site = instance(&pair.primary.url("postgres"), &urls)?;
    let said = doctor(&site)?;
    ensure!(finding(&said, "instances").len() == 1, "{said}");
    pair.replicas[0].node.kill9().await?;
    eventually_within(LONG, "the free slot", async || {
        let idle = "select count(*) from pg_replication_slots where not active";
        Ok(pair.primary.execute(idle).await? == "1")
    })
    .await?;
    let said = doctor(&site)?;
    let [_, ("warning", what, remedy)] = finding(&said, "instances")[..] else {
        anyhow::bail!("{said}");
    };
    ensure!(
        what.contains("the replication slot replica1 does not follow"),
        "{said}"
    );
    ensure!(
        remedy.contains("pg_drop_replication_slot('replica1')"),
        "{said}"
    );
    Ok(())
}
