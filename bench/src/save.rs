//! Raw results in files, one for each measurement, and pictures of them.

use std::{collections::BTreeMap, fs, path::Path, process::Command};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{Plan, picture, report::Report};

/// Writes `<name>.json`, with what it was measured on, and a picture of each curve; then draws
/// all goals anew, of whatever lies in the folder.
pub(crate) fn save(folder: &Path, name: &str, plan: &Plan, report: &Report) -> Result<()> {
    fs::create_dir_all(folder)?;
    let mut saved = report.json();
    saved["measurement"] = name.into();
    saved["machine"] = machine()?;
    saved["at"] = now().format(&Rfc3339)?.into();
    saved["commit"] = commit()?.into();
    saved["runs"] = plan.runs.into();
    saved["seconds"] = plan.run.as_secs().into();
    let text = serde_json::to_string_pretty(&saved)? + "\n";
    fs::write(folder.join(format!("{name}.json")), text)?;
    for curve in report.curves() {
        let title = curve.what().to_lowercase().replace([' ', ','], "-");
        let file = format!("{name}-{title}.svg");
        picture::curve(&folder.join(file), curve)?;
    }
    picture::goals(&folder.join("goals.svg"), &saved_goals(folder)?)
}

/// The goals of all results in the folder: what, the figure, and the goal as written.
fn saved_goals(folder: &Path) -> Result<Vec<picture::Goal>> {
    let mut results = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "json")
        {
            let text = fs::read_to_string(&path)?;
            let result: Value = serde_json::from_str(&text)
                .with_context(|| format!("{} is no result", path.display()))?;
            results.insert(path, result);
        }
    }
    let figures = results
        .values()
        .filter_map(|result| result["figures"].as_array())
        .flatten();
    Ok(figures.filter_map(picture::Goal::of).collect())
}

fn machine() -> Result<Value> {
    let processors = fs::read_to_string("/proc/cpuinfo")?;
    let model = field(&processors, "model name").context("no model name")?;
    let memory = fs::read_to_string("/proc/meminfo")?;
    let memory = field(&memory, "MemTotal").context("no MemTotal")?;
    Ok(json!({
        "processor": model,
        "cores": std::thread::available_parallelism()?.get(),
        "memory": memory,
        "kernel": rustix::system::uname().release().to_string_lossy(),
    }))
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim())
}

/// What was built, with a `+` where that was changed since.
fn commit() -> Result<String> {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output()?;
        ensure!(output.status.success(), "git {arguments:?} failed");
        anyhow::Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    };
    let head = git(&["rev-parse", "--short=12", "HEAD"])?;
    let changed = git(&[
        "status",
        "--porcelain",
        "--untracked-files=no",
        "--",
        "*.rs",
        "*.toml",
    ])?;
    Ok(if changed.is_empty() { head } else { head + "+" })
}

#[expect(clippy::disallowed_methods, reason = "when it was measured")]
fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}
