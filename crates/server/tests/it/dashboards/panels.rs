//! Every panel of every dashboard, on an embedded server and on the whole.

use std::{collections::BTreeMap, fs};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use sso_testkit::servers::{Prometheus, Proxy, collector::Collector};

use super::{alerts, deploy, picture, series};
use crate::{
    kafka::LONG,
    support::{eventually_within, site},
    whole::{Whole, life},
};

/// Panels say "only" where an embedded installation has no data.
const ELSEWHERE: &str = "only";

/// A query of a panel.
#[derive(Debug, Clone)]
pub(super) struct Query {
    /// The dashboard's file, without its ending.
    pub(super) board: String,
    pub(super) board_title: String,
    pub(super) panel: String,
    /// What stands below the panel's title.
    pub(super) text: String,
    /// Grafana's word for the unit.
    pub(super) unit: String,
    pub(super) legend: String,
    pub(super) expr: String,
}

/// Every query of every dashboard, in their order.
pub(super) fn queries() -> Result<Vec<Query>> {
    let mut files: Vec<_> = fs::read_dir(deploy("grafana/dashboards"))?
        .map(|file| Ok(file?.path()))
        .collect::<Result<_>>()?;
    files.sort_unstable();
    let mut queries = Vec::new();
    for file in files {
        let board: Value = serde_json::from_str(&fs::read_to_string(&file)?)?;
        let text = |value: &Value| value.as_str().map(str::to_owned).context("no text");
        for panel in board["panels"].as_array().context("no panels")? {
            for target in panel["targets"].as_array().context("no targets")? {
                queries.push(Query {
                    board: text(&board["uid"])?,
                    board_title: text(&board["title"])?,
                    panel: text(&panel["title"])?,
                    text: text(&panel["description"])?,
                    unit: text(&panel["fieldConfig"]["defaults"]["unit"])?,
                    legend: text(&target["legendFormat"])?,
                    expr: text(&target["expr"])?.replace("$__rate_interval", "30s"),
                });
            }
        }
    }
    ensure!(queries.len() > 70, "{} queries", queries.len());
    Ok(queries)
}

/// Loads until every query has a sample that is a number.
async fn have_data(
    prometheus: &Prometheus,
    queries: &[Query],
    load: impl AsyncFn() -> Result<()>,
) -> Result<()> {
    let missing = tokio::sync::Mutex::new(BTreeMap::new());
    let seen = eventually_within(2 * LONG, "every panel has data", async || {
        load().await?;
        let mut now = BTreeMap::new();
        for query in queries {
            let samples = prometheus.query(&query.expr).await?;
            if !samples.iter().any(|sample| sample["value"][1] != "NaN") {
                now.insert(
                    format!("{}: {}", query.board, query.panel),
                    query.expr.clone(),
                );
            }
        }
        let all = now.is_empty();
        *missing.lock().await = now;
        Ok(all)
    });
    let seen = seen.await;
    let missing = missing.into_inner();
    seen.with_context(|| format!("no data for {missing:#?}"))
}

/// As they are shipped, but evaluated as often as it is scraped here.
pub(super) fn rules() -> Result<String> {
    let rules = fs::read_to_string(deploy("prometheus/rules/sso.yml"))?;
    Ok(rules.replace("interval: 30s", "interval: 1s"))
}

#[tokio::test]
async fn every_panel_has_data_and_no_alert_fires_on_a_healthy_server() -> Result<()> {
    let mut queries = queries()?;
    queries.retain(|query| !query.text.contains(ELSEWHERE));
    let mut site = site()?;
    site.set("SSO__THROTTLE__ENABLED", false);
    let server = site.serve().await?;
    let prometheus = Prometheus::start_with_rules(&[server.admin_address], &rules()?).await?;
    prometheus.scraped().await?;
    have_data(&prometheus, &queries, async || life(&server).await).await?;
    alerts::silent(&prometheus).await
}

#[tokio::test]
async fn on_the_whole_every_panel_has_data_no_alert_fires_and_then_eight_faults_are_told()
-> Result<()> {
    let queries = queries()?;
    let collector = Collector::start().await?;
    let road = Proxy::start(collector.grpc)?;
    let endpoint = format!("http://{}", road.address());
    let mut whole = Whole::start(Some((&endpoint, "1"))).await?;
    let targets = [
        ("sso", whole.server.admin_address),
        ("welcome", whole.welcome.address),
        ("loyalty", whole.loyalty.address),
    ];
    let rules = alerts::impatient(&rules()?)?;
    let prometheus = Prometheus::start_with_jobs(&targets, &rules).await?;
    prometheus.scraped().await?;
    have_data(&prometheus, &queries, async || whole.load().await).await?;
    alerts::silent(&prometheus).await?;
    series::bounded(&whole).await?;
    picture::take(&prometheus, &queries, &whole).await?;
    alerts::eight_faults(&mut whole, &prometheus, &road).await
}
