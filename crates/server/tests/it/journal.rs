//! The audit log on the log of the program.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use sso_testkit::{persona::Persona, process::Site, servers::Postgres};

use crate::{
    kafka::LONG,
    postgres,
    support::{eventually_within, site},
};

const LEVEL: &str = "SSO__LOG__LEVEL";
const TARGET: &str = "sso_audit";

/// The records on the log.
fn records(site: &Site) -> Result<Vec<Value>> {
    let log = site.log()?;
    let lines = log.lines().filter(|line| line.contains(TARGET));
    lines
        .map(|line| serde_json::from_str(line).context(line.to_owned()))
        .collect()
}

async fn tells_of(site: &Site) -> Result<()> {
    let server = site.serve().await?;
    let mut alice = Persona::register(&server.http, "alice").await?;
    alice.login().await?;
    alice.logout(&alice.access, false).await?;
    let actions = async || {
        let records = records(site)?;
        let actions = records.iter().map(|record| record["action"].clone());
        Ok(actions.collect::<Vec<_>>() == ["register", "login", "logout"])
    };
    let told = eventually_within(LONG, "three records", actions).await;
    told.with_context(|| format!("{:?}", records(site)))?;
    for record in records(site)? {
        assert_eq!(record["target"], TARGET, "{record}");
        assert_eq!(record["result"], "success", "{record}");
        assert_eq!(record["by"], *alice.id, "{record}");
        let span = &record["spans"][0];
        ensure!(span["request_id"].is_string(), "{record}");
        ensure!(!record.to_string().contains("alice"), "{record}");
    }
    Ok(())
}

#[tokio::test]
async fn who_wants_the_audit_log_on_the_log_gets_what_has_committed() -> Result<()> {
    let mut site = site()?;
    site.set(LEVEL, "info,sso_audit=debug");
    tells_of(&site).await?;
    let database = Postgres::shared().await?.database("journal").await?;
    let mut site = postgres::on(&database)?;
    site.set(LEVEL, "info,sso_audit=debug");
    tells_of(&site).await
}

#[tokio::test]
async fn nobody_else_does() -> Result<()> {
    let site = site()?;
    let server = site.serve().await?;
    Persona::register(&server.http, "alice").await?;
    assert!(records(&site)?.is_empty());
    Ok(())
}
