//! A picture of each dashboard, drawn from its queries: what Grafana would show, for who reads the
//! documentation. `cargo xtask pictures` asks for them.

use std::{
    env,
    fmt::Write as _,
    fs,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use serde_json::Value;
use sso_testkit::servers::Prometheus;

use super::panels::Query;
use crate::whole::Whole;

/// The folder that pictures go to; without it none are made.
const FOLDER: &str = "SSO_PICTURES";
/// Minutes that a picture shows.
const MINUTES: u32 = 4;

/// Size of a panel, in pixels.
const PANEL: (f64, f64) = (380.0, 190.0);
/// Panels beside each other.
const ACROSS: usize = 3;
/// Most series that a panel shows.
const SERIES: usize = 6;
/// Colours of series that people with any eyes tell apart (Okabe and Ito).
const COLORS: [&str; SERIES] = [
    "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9",
];

/// A series of a panel.
struct Line {
    name: String,
    points: Vec<(f64, f64)>,
}

/// Loads in waves for some minutes, and draws what was seen; if somebody wants it.
pub(super) async fn take(prometheus: &Prometheus, queries: &[Query], whole: &Whole) -> Result<()> {
    let Some(folder) = env::var_os(FOLDER) else {
        return Ok(());
    };
    let started = Instant::now();
    let minutes = Duration::from_secs(60 * u64::from(MINUTES));
    while started.elapsed() < minutes {
        // Busy for half of each minute.
        let is_busy = started.elapsed().as_secs() % 60 < 30;
        whole.load().await?;
        if !is_busy {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
    fs::create_dir_all(&folder)?;
    for boards in queries.chunk_by(|a, b| a.board == b.board) {
        let mut panels = Vec::new();
        for panel in boards.chunk_by(|a, b| a.panel == b.panel) {
            panels.push(draw_panel(prometheus, panel).await?);
        }
        let file = Path::new(&folder).join(format!("{}.svg", boards[0].board));
        fs::write(file, page(&boards[0].board_title, &panels))?;
    }
    Ok(())
}

fn page(title: &str, panels: &[String]) -> String {
    let width = PANEL.0 * 3.0;
    let rows = panels.len().div_ceil(ACROSS);
    let mut svg = String::new();
    let mut height = 40.0;
    for _ in 0..rows {
        height += PANEL.1;
    }
    let _ = writeln!(
        svg,
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="11" fill="#444"><rect width="100%" height="100%" fill="#f6f7f9"/><text x="12" y="26" font-size="16" font-weight="bold">{}</text>"##,
        escaped(title)
    );
    let (mut x, mut y) = (0.0, 40.0);
    for panel in panels {
        let _ = writeln!(svg, r#"<g transform="translate({x} {y})">{panel}</g>"#);
        x += PANEL.0;
        if x + 1.0 > width {
            (x, y) = (0.0, y + PANEL.1);
        }
    }
    svg + "</svg>\n"
}

async fn draw_panel(prometheus: &Prometheus, queries: &[Query]) -> Result<String> {
    let mut lines = Vec::new();
    for query in queries {
        for series in prometheus.range(&query.expr, MINUTES).await? {
            lines.push(Line {
                name: legend(&query.legend, &series["metric"]),
                points: points(&series["values"])?,
            });
        }
    }
    lines.retain(|line| !line.points.is_empty());
    // What moves most is worth most.
    lines.sort_by(|a, b| top(b).total_cmp(&top(a)));
    let left_out = lines.len().saturating_sub(SERIES);
    lines.truncate(SERIES);
    Ok(drawn(&queries[0], &lines, left_out))
}

fn drawn(query: &Query, lines: &[Line], left_out: usize) -> String {
    let (width, height) = (PANEL.0 - 24.0, PANEL.1 - 76.0);
    let highest = lines.iter().map(top).fold(0.0, f64::max);
    let most = if highest > 0.0 { highest } else { 1.0 };
    let times = || {
        lines
            .iter()
            .flat_map(|line| &line.points)
            .map(|(at, _)| *at)
    };
    let from = times().fold(f64::INFINITY, f64::min);
    let to = times().fold(f64::NEG_INFINITY, f64::max);
    let long = if to > from { to - from } else { 1.0 };
    let mut svg = format!(
        r##"<rect x="6" y="4" width="{}" height="{}" rx="4" fill="#fff" stroke="#ddd"/><text x="14" y="20" font-weight="bold">{}</text><text x="{}" y="20" text-anchor="end">{}</text><line x1="12" x2="{}" y1="{base}" y2="{base}" stroke="#bbb"/>"##,
        PANEL.0 - 12.0,
        PANEL.1 - 10.0,
        escaped(&query.panel),
        PANEL.0 - 14.0,
        amount(highest, &query.unit),
        width + 12.0,
        base = height + 28.0,
    );
    for (line, color) in lines.iter().zip(COLORS) {
        let mut path = String::new();
        for (at, value) in &line.points {
            let x = 12.0 + (at - from) / long * width;
            let y = 28.0 + height - value.max(0.0) / most * height;
            let _ = write!(path, "{x:.0},{y:.0} ");
        }
        let _ = write!(
            svg,
            r#"<polyline points="{}" fill="none" stroke="{color}" stroke-width="1.5"/>"#,
            path.trim_end()
        );
    }
    let (mut x, mut y) = (14.0, height + 44.0);
    let more = (left_out > 0).then(|| format!("and {left_out} more"));
    let names = lines.iter().map(|line| line.name.as_str());
    let colors = COLORS.into_iter().take(lines.len()).chain(["#888"]);
    for (name, color) in names.chain(more.as_deref()).zip(colors) {
        let name: String = name.chars().take(24).collect();
        let _ = write!(
            svg,
            r#"<text x="{x}" y="{y}" fill="{color}" font-size="9.5">{}</text>"#,
            escaped(&name)
        );
        x += 122.0;
        if x > 300.0 {
            (x, y) = (14.0, y + 11.0);
        }
    }
    svg
}

fn top(line: &Line) -> f64 {
    line.points
        .iter()
        .map(|(_, value)| *value)
        .fold(0.0, f64::max)
}

/// Every fourth sample that is a number: more than a pixel shows nobody sees.
fn points(values: &Value) -> Result<Vec<(f64, f64)>> {
    let mut points = Vec::new();
    for sample in values.as_array().context("no values")?.iter().step_by(4) {
        let at = sample[0].as_f64().context("no time")?;
        let value: f64 = sample[1].as_str().context("no number")?.parse()?;
        if value.is_finite() {
            points.push((at, value));
        }
    }
    Ok(points)
}

/// `{{label}}` replaced by its value; ports are of no interest.
fn legend(legend: &str, metric: &Value) -> String {
    let mut text = legend.to_owned();
    let labels = metric.as_object().into_iter().flatten();
    for (label, value) in labels {
        let value = value.as_str().unwrap_or_default();
        let value = value.strip_prefix("127.0.0.1:").map_or(value, |_| "sso-1");
        text = text.replace(&format!("{{{{{label}}}}}"), value);
    }
    text
}

/// By Grafana's words for units.
fn amount(value: f64, unit: &str) -> String {
    match unit {
        _ if value == 0.0 => "0".to_owned(),
        "ops" => format!("{value:.2}/s"),
        "s" if value < 1.0 => format!("{:.1} ms", value * 1000.0),
        "s" if value > 7200.0 => format!("{:.1} h", value / 3600.0),
        "s" => format!("{value:.1} s"),
        "percentunit" => format!("{:.1} %", value * 100.0),
        "bytes" => format!("{:.0} MiB", value / f64::from(1 << 20)),
        _ if value < 10.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
