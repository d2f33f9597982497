//! Dashboards and rules against a real Prometheus that scrapes the real binary under a load.

mod alerts;
mod panels;
mod picture;
mod runbooks;
mod series;

use std::{
    fs,
    io::{Seek as _, Write as _},
    path::PathBuf,
    process::Command,
};

use anyhow::{Context, Result, ensure};
use sso_testkit::http::Http;

use crate::{support::site, whole::life};

fn deploy(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../deploy")
        .join(path)
}

/// The names and units of the page by Prometheus' own rules.
#[tokio::test]
async fn promtool_finds_nothing_wrong_with_the_page() -> Result<()> {
    let site = site()?;
    let server = site.serve().await?;
    life(&server).await?;
    check_metrics(&server.admin).await
}

async fn check_metrics(http: &Http) -> Result<()> {
    let page = http.get("/metrics", None).await?;
    let mut file = tempfile::tempfile()?;
    file.write_all(&page.bytes)?;
    file.rewind()?;
    let checked = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(file)
        .output()?;
    let said = String::from_utf8_lossy(&checked.stderr).into_owned();
    ensure!(checked.status.success() && said.is_empty(), "{said}");
    Ok(())
}

/// A pattern of files that finds none is no error to promtool.
#[test]
fn promtool_finds_nothing_wrong_with_the_configuration_and_finds_its_rules() -> Result<()> {
    let checked = Command::new("promtool")
        .args(["check", "config", "--lint=all", "--lint-fatal"])
        .arg(deploy("prometheus/prometheus.yml"))
        .output()?;
    let said = [checked.stdout, checked.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(checked.status.success(), "{said}");
    let files = fs::read_dir(deploy("prometheus/rules"))?.count();
    assert!(files > 0, "there are no rules");
    let found = format!("SUCCESS: {files} rule files found");
    assert!(said.contains(&found), "{found} is not in:\n{said}");
    Ok(())
}

#[test]
fn every_alert_fires_with_its_fault_and_is_silent_without() -> Result<()> {
    let tested = Command::new("promtool")
        .args(["test", "rules"])
        .arg(deploy("prometheus/tests/sso_test.yml"))
        .output()?;
    let said = String::from_utf8_lossy(&tested.stdout).into_owned();
    assert!(tested.status.success(), "{said}");
    Ok(())
}

#[test]
fn every_alert_is_tested_and_has_its_runbook() -> Result<()> {
    let rules = fs::read_to_string(deploy("prometheus/rules/sso.yml"))?;
    let tests = fs::read_to_string(deploy("prometheus/tests/sso_test.yml"))?;
    let after = |prefix: &'static str| {
        let values = rules.lines().map(str::trim);
        values.filter_map(move |line| line.strip_prefix(prefix))
    };
    let alerts: Vec<_> = after("- alert: ").collect();
    ensure!(alerts.len() > 20, "{alerts:?}");
    for alert in &alerts {
        let fires = format!("alertname: {alert}\n");
        let silent = format!("alertname: {alert}, exp_alerts: []");
        assert!(tests.contains(&fires) && tests.contains(&silent), "{alert}");
    }
    let runbooks: Vec<_> = after("runbook_url: ").collect();
    assert_eq!(runbooks.len(), alerts.len());
    for runbook in runbooks {
        let file = deploy("..").join(runbook);
        let text = fs::read_to_string(&file).with_context(|| runbook.to_owned())?;
        for part in [
            "## What you see",
            "## What it means",
            "## What to do",
            "## How to verify",
        ] {
            assert!(text.contains(part), "{runbook} lacks {part}");
        }
    }
    Ok(())
}
