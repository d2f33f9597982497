//! What a service says of what it needs, and whether it says so in time.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::Running;
use crate::patience::eventually;
use crate::readiness::in_time;

/// What is said of the whole: status and state.
pub type Whole = (u16, &'static str);

/// All is well.
pub const READY: Whole = (200, "ready");
/// Something is away that can be waited for.
pub const DEGRADED: Whole = (200, "degraded");
/// Something is away without which requests are not welcome.
pub const UNREADY: Whole = (503, "degraded");

impl Running {
    /// Waits until it says so of the whole and of one dependency, `up` or `down`, and its metric says the
    /// same. Every answer, of which one in a few, must come in time.
    pub async fn tells(&self, whole: Whole, dependency: &str, state: &str) -> Result<()> {
        let gauge = format!("sso_service_dependency_up{{dependency=\"{dependency}\"}}");
        let path = format!("/{}/ready", self.name);
        let mut last = Value::Null;
        let told = eventually(dependency, async || {
            let (status, report) = in_time(&self.http, &path).await?;
            let is_so = (status, report["state"].as_str()) == (whole.0, Some(whole.1))
                && says(&report, dependency, state)?;
            last = report;
            Ok(is_so && self.metric(&gauge).await? == i64::from(state == "up"))
        });
        let told = told.await;
        told.with_context(|| format!("{whole:?}, {dependency} {state}: {last}"))
    }
}

/// Whether a report names a dependency in this state. Of one that is down it must say what that means for
/// callers, and of each since when.
fn says(report: &Value, dependency: &str, state: &str) -> Result<bool> {
    let all = report["dependencies"].as_array().context("no list")?;
    // Until it was looked at for the first time it is not there.
    let Some(found) = all.iter().find(|found| found["name"] == dependency) else {
        return Ok(false);
    };
    let is_down = found["state"] == "down";
    ensure!(
        found["since"].is_string() && found["detail"].is_string() == is_down,
        "{found}"
    );
    Ok(found["state"] == state)
}
