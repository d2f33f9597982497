//! Dashboards and rules against a real Prometheus that scrapes the real binary under a load.

use std::{collections::BTreeMap, fs, path::PathBuf, process::Command};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use sso_testkit::{persona::Persona, process::Server, servers::Prometheus};

use crate::{
    kafka::LONG,
    support::{eventually_within, site, unique, validate},
};

/// Panels say "only" where an embedded installation has no data.
const ELSEWHERE: &str = "only";

fn deploy(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../deploy")
        .join(path)
}

/// Every query of every dashboard, with the title and the text of its panel.
fn queries() -> Result<Vec<(String, String, String)>> {
    let mut queries = Vec::new();
    for file in fs::read_dir(deploy("grafana/dashboards"))? {
        let board: Value = serde_json::from_str(&fs::read_to_string(file?.path())?)?;
        let name = board["title"].as_str().context("no title")?;
        for panel in board["panels"].as_array().context("no panels")? {
            let title = format!("{name}, {}", panel["title"]);
            let text = panel["description"].to_string();
            for target in panel["targets"].as_array().context("no targets")? {
                let expr = target["expr"].as_str().context("no query")?;
                let expr = expr.replace("$__rate_interval", "30s");
                queries.push((title.clone(), text.clone(), expr));
            }
        }
    }
    Ok(queries)
}

/// Something of everything that people and services do.
async fn load(server: &Server) -> Result<()> {
    let mut somebody = Persona::register(&server.http, &unique()).await?;
    somebody.login().await?;
    somebody.try_login("wrong password").await?;
    somebody.refresh().await?;
    somebody.info().await?;
    let mut grpc = server.grpc().await?;
    grpc.validate(validate(&somebody.access)).await?;
    somebody.logout(&somebody.access, false).await?;
    Ok(())
}

#[tokio::test]
async fn every_panel_has_data_and_no_alert_fires_on_a_healthy_server() -> Result<()> {
    let queries = queries()?;
    ensure!(queries.len() > 40, "{} queries", queries.len());
    let mut site = site()?;
    site.set("SSO__THROTTLE__ENABLED", false);
    let server = site.serve().await?;
    let rules = fs::read_to_string(deploy("prometheus/rules/sso.yml"))?;
    // Recorded as often as it is scraped here.
    let rules = rules.replace("interval: 30s", "interval: 1s");
    let prometheus = Prometheus::start_with_rules(&[server.admin_address], &rules).await?;
    prometheus.scraped().await?;
    let missing = tokio::sync::Mutex::new(BTreeMap::new());
    let seen = eventually_within(LONG, "every panel has data", async || {
        load(&server).await?;
        let mut now = BTreeMap::new();
        for (title, text, expr) in &queries {
            if !text.contains(ELSEWHERE) && prometheus.query(expr).await?.is_empty() {
                now.insert(title.clone(), expr.clone());
            }
        }
        let all = now.is_empty();
        *missing.lock().await = now;
        Ok(all)
    })
    .await;
    let missing = missing.into_inner();
    assert!(seen.is_ok(), "{seen:?}: no data for {missing:#?}");
    let alerts = prometheus.alerts().await?;
    let firing: Vec<_> = (alerts.iter())
        .filter(|alert| alert["state"] == "firing")
        .collect();
    assert!(firing.is_empty(), "{firing:?}");
    Ok(())
}

/// The names and units of the page by Prometheus' own rules.
#[tokio::test]
async fn promtool_finds_nothing_wrong_with_the_page() -> Result<()> {
    let site = site()?;
    let server = site.serve().await?;
    load(&server).await?;
    let page = server.admin.get("/metrics", None).await?;
    let file = site.folder().join("page");
    fs::write(&file, &page.bytes)?;
    let checked = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(fs::File::open(&file)?)
        .output()?;
    let said = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert!(checked.status.success() && said.is_empty(), "{said}");
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

/// Users, addresses and paths are not part of a label.
#[tokio::test]
async fn many_users_and_paths_make_no_series() -> Result<()> {
    let mut site = site()?;
    // So that all of them are answered alike.
    site.set("SSO__THROTTLE__ENABLED", false);
    let server = site.serve().await?;
    let strangers = |server: &Server, round: usize| {
        let http = server.http.clone();
        async move {
            for number in 0..200 {
                let name = format!("nobody{round}x{number}");
                http.get(&format!("/{name}"), None).await?;
                let email = format!("{name}@example.com");
                let body = serde_json::json!({"email": email, "password": "a password of his"});
                http.post("/auth/login", &body).await?;
                http.get(&format!("/auth/sessions/{name}"), Some(&name))
                    .await?;
            }
            anyhow::Ok(())
        }
    };
    let series = async || {
        let page = server.admin.get("/metrics", None).await?;
        let text = String::from_utf8(page.bytes.to_vec())?;
        // Statements of the loops in the background are as many as the source has.
        let series = (text.lines())
            .filter(|line| !line.starts_with('#') && !line.starts_with("sso_store_statement_"));
        anyhow::Ok((series.count(), text))
    };
    load(&server).await?;
    strangers(&server, 0).await?;
    let (before, _) = series().await?;
    for round in 1..5 {
        strangers(&server, round).await?;
    }
    let (after, text) = series().await?;
    assert_eq!(before, after, "{text}");
    assert!(
        !text.contains("nobody") && !text.contains("example.com"),
        "{text}"
    );
    Ok(())
}
