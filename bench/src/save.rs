//! Raw results in files, one for each measurement, and pictures of them.

use std::{collections::BTreeMap, fs, path::Path, process::Command};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{Plan, picture, report::Report};

/// Writes `<name>.json`, with what it was measured on, and a picture of each curve; then draws
/// all goals anew, of whatever lies in the folder.
pub(crate) fn save(
    folder: &Path,
    name: &str,
    machine: &Machine,
    plan: &Plan,
    report: &Report,
) -> Result<()> {
    fs::create_dir_all(folder)?;
    let mut saved = report.json(name);
    saved["machine"] = machine.shown.clone();
    saved["at"] = now().format(&Rfc3339)?.into();
    saved["commit"] = machine.commit.clone().into();
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

/// What is measured on, and what. What cannot be known is `null`.
pub(crate) struct Machine {
    shown: Value,
    commit: Option<String>,
}

impl Machine {
    /// Looks at it.
    pub(crate) fn look() -> Result<Self> {
        let processors = fs::read_to_string("/proc/cpuinfo")?;
        let memory = fs::read_to_string("/proc/meminfo")?;
        Ok(Self {
            shown: json!({
                "processor": field(&processors, "model name"),
                "cores": std::thread::available_parallelism()?.get(),
                "memory": field(&memory, "MemTotal"),
                "kernel": rustix::system::uname().release().to_string_lossy(),
            }),
            commit: commit().ok(),
        })
    }
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim())
}

/// The checkout's, with a `+` where that was changed.
fn commit() -> Result<String> {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output()?;
        ensure!(output.status.success(), "git {arguments:?} failed");
        anyhow::Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    };
    let head = git(&["rev-parse", "--short=12", "HEAD"])?;
    let changed = git(&["status", "--porcelain", "--untracked-files=no"])?;
    Ok(if changed.is_empty() { head } else { head + "+" })
}

#[expect(clippy::disallowed_methods, reason = "when it was measured")]
fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}
