//! Grafana's dashboards, from a list of panels.
//!
//! A panel is a line in [`dashboards`]; what it looks like is decided here, once.

mod dashboards;

use std::{fs, process::Command};

use anyhow::Result;
use serde_json::{Value, json};

use crate::{
    shell::{root, run},
    tools,
};

/// Where dashboards lie.
const FOLDER: &str = "deploy/grafana/dashboards";

/// The columns of Grafana's grid.
const COLUMNS: usize = 24;
/// Panels beside each other.
const ACROSS: usize = 3;
/// Rows of the grid that a panel is high.
const HEIGHT: usize = 8;

/// A page of panels.
struct Dashboard {
    /// The file's name and the page's address.
    uid: &'static str,
    title: &'static str,
    panels: &'static [Panel],
}

/// A graph of some queries over time.
struct Panel {
    title: &'static str,
    /// What to make of it.
    text: &'static str,
    unit: Unit,
    /// Queries in PromQL, each with the legend of its series.
    queries: &'static [(&'static str, &'static str)],
}

/// Grafana's units.
#[derive(Clone, Copy)]
enum Unit {
    PerSecond,
    Seconds,
    Share,
    Count,
    Bytes,
}

impl Unit {
    const fn id(self) -> &'static str {
        match self {
            Self::PerSecond => "ops",
            Self::Seconds => "s",
            Self::Share => "percentunit",
            Self::Count => "short",
            Self::Bytes => "bytes",
        }
    }
}

/// Every dashboard: its path and its JSON.
pub(crate) fn files() -> Vec<(String, String)> {
    let file = |dashboard: &Dashboard| {
        let path = format!("{FOLDER}/{}.json", dashboard.uid);
        (path, format!("{:#}\n", dashboard.json()))
    };
    dashboards::ALL.iter().map(file).collect()
}

/// Fails if a dashboard is not what Grafana's published schema says.
pub(crate) fn check() -> Result<()> {
    let mut check = Command::new(tools::ensure_grafana_check()?);
    for file in fs::read_dir(root().join(FOLDER))? {
        check.arg(file?.path());
    }
    run(check)
}

impl Dashboard {
    fn json(&self) -> Value {
        let panels: Vec<Value> = (self.panels.iter().enumerate())
            .map(|(at, panel)| panel.json(at))
            .collect();
        json!({
            "uid": self.uid,
            "title": self.title,
            "tags": ["sso"],
            "schemaVersion": 41,
            "editable": false,
            "graphTooltip": 1,
            "refresh": "10s",
            "time": {"from": "now-1h", "to": "now"},
            "timezone": "utc",
            "links": [{
                "type": "dashboards", "title": "sso", "tags": ["sso"],
                "asDropdown": true, "keepTime": true,
                "icon": "", "tooltip": "", "targetBlank": false, "includeVars": false,
            }],
            "templating": {"list": []},
            "annotations": {"list": [{
                "name": "Alerts",
                "enable": true,
                "iconColor": "red",
                "datasource": source(),
                "expr": "ALERTS{alertstate=\"firing\"}",
                "titleFormat": "{{alertname}}",
            }]},
            "panels": panels,
        })
    }
}

impl Panel {
    fn json(&self, at: usize) -> Value {
        let width = COLUMNS / ACROSS;
        let targets: Vec<Value> = (self.queries.iter().zip('A'..))
            .map(|((expr, legend), id)| {
                json!({
                    "refId": id.to_string(),
                    "datasource": source(),
                    "expr": expr,
                    "legendFormat": legend,
                    // Points of requests whose traces are sampled, on what is drawn of histograms.
                    "exemplar": expr.contains("_seconds_bucket"),
                })
            })
            .collect();
        json!({
            "id": at + 1,
            "type": "timeseries",
            "title": self.title,
            "description": self.text,
            "datasource": source(),
            "gridPos": {
                "x": at % ACROSS * width, "y": at / ACROSS * HEIGHT, "w": width, "h": HEIGHT,
            },
            "fieldConfig": {
                "defaults": {
                    "unit": self.unit.id(),
                    "min": 0,
                    "custom": {"fillOpacity": 10, "showPoints": "never", "spanNulls": false},
                },
                "overrides": [],
            },
            "options": {
                "legend": {
                    "displayMode": "list", "placement": "bottom", "showLegend": true, "calcs": [],
                },
                "tooltip": {"mode": "multi", "sort": "desc"},
            },
            "targets": targets,
        })
    }
}

/// The provisioned data source.
fn source() -> Value {
    json!({"type": "prometheus", "uid": "prometheus"})
}
