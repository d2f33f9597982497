//! How the service is: written by a loop, read by every probe from memory.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
};

use metrics::{describe_gauge, gauge};
use serde_json::{Value, json};
use sso_web::rfc3339;
use time::OffsetDateTime;

use crate::Need;

const UP: &str = "sso_service_dependency_up";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Starting,
    Serving,
    Draining,
}

/// Describes the metric, and makes a series exist for each of these: none has answered yet.
pub(crate) fn register_metrics(needs: impl IntoIterator<Item = &'static str>) {
    describe_gauge!(UP, "Whether a dependency answers: 1 or 0.");
    for need in needs {
        gauge!(UP, "dependency" => need).set(0.0);
    }
}

/// The newest state of everything.
#[derive(Debug)]
pub(crate) struct Health(RwLock<Seen>);

#[derive(Debug)]
struct Seen {
    phase: Phase,
    /// Whether anybody has looked at them.
    looked: bool,
    /// Each with the time since when it is as it is.
    needs: BTreeMap<&'static str, (Need, OffsetDateTime)>,
}

impl Health {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(RwLock::new(Seen {
            phase: Phase::Starting,
            looked: false,
            needs: BTreeMap::new(),
        })))
    }

    /// Records how everything is. A change is logged.
    pub(crate) fn set(&self, needs: Vec<Need>) {
        let mut seen = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for need in needs {
            gauge!(UP, "dependency" => need.name).set(f64::from(u8::from(need.problem.is_none())));
            let before = seen.needs.get(need.name);
            let was = before.is_none_or(|(before, _)| before.problem.is_none());
            let since = match before {
                Some((_, since)) if was == need.problem.is_none() => *since,
                _ => crate::world::now(),
            };
            match &need.problem {
                Some(problem) if was => {
                    tracing::error!(dependency = need.name, problem, "a dependency is down");
                }
                None if !was => {
                    tracing::info!(dependency = need.name, "a dependency is up again");
                }
                _ => {}
            }
            seen.needs.insert(need.name, (need, since));
        }
    }

    /// From now on everything has been looked at.
    pub(crate) fn looked(&self) {
        let mut seen = self.0.write().unwrap_or_else(PoisonError::into_inner);
        seen.looked = true;
    }

    /// From now on requests are welcome.
    pub(crate) fn serving(&self) {
        self.enter(Phase::Serving);
    }

    /// From now on they are not.
    pub(crate) fn draining(&self) {
        self.enter(Phase::Draining);
    }

    fn enter(&self, phase: Phase) {
        let mut seen = self.0.write().unwrap_or_else(PoisonError::into_inner);
        seen.phase = phase;
    }

    /// Whether a balancer should send requests here, and the report. It names no hosts.
    pub(crate) fn report(&self) -> (bool, Value) {
        let seen = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let down = |need: &Need| need.problem.is_some();
        let required = seen
            .needs
            .values()
            .any(|(need, _)| need.required && down(need));
        let any = seen.needs.values().any(|(need, _)| down(need));
        let (state, ready) = match seen.phase {
            Phase::Draining => ("draining", false),
            Phase::Serving if !seen.looked => ("starting", false),
            Phase::Starting => ("starting", false),
            Phase::Serving if any => ("degraded", !required),
            Phase::Serving => ("ready", true),
        };
        let dependencies: Vec<Value> = seen
            .needs
            .values()
            .map(|(need, since)| shown(need, *since))
            .collect();
        let status = if ready { "Success" } else { "Error" };
        (
            ready,
            json!({"status": status, "state": state, "dependencies": dependencies}),
        )
    }
}

fn shown(need: &Need, since: OffsetDateTime) -> Value {
    let down = need.problem.is_some();
    json!({
        "name": need.name,
        "state": if down { "down" } else { "up" },
        "since": rfc3339(since),
        "detail": down.then_some(need.meaning),
    })
}
