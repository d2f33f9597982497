//! An instance that is asked all the time how it is.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tokio::task::JoinHandle;

use crate::{history::History, http::Http};

/// How soon it answers, by contract.
pub const WITHIN: Duration = Duration::from_millis(300);
/// A busy machine may hold up one answer; a dependency that hangs would hold up all.
const TRIES: usize = 5;
/// Between an answer and the next question.
const EVERY: Duration = Duration::from_millis(100);

/// Status and report of the readiness at `path`, of which one answer in a few comes in time.
pub async fn in_time(http: &Http, path: &str) -> Result<(u16, Value)> {
    let mut took = Vec::new();
    for _ in 0..TRIES {
        let started = Instant::now();
        let reply = http.get(path, None).await?;
        took.push(started.elapsed());
        if started.elapsed() < WITHIN {
            return Ok((reply.status.as_u16(), reply.json()));
        }
    }
    bail!("readiness took {took:?}")
}

/// What it said once.
#[derive(Debug, Clone)]
pub struct Told {
    /// When it was asked, by the clock of the history.
    pub start: Duration,
    /// When the answer was there.
    pub end: Duration,
    /// Whether requests are welcome: it answered 200.
    pub ready: bool,
    /// What it says is down.
    pub down: Vec<String>,
}

impl Told {
    /// Whether it says so of this dependency.
    pub fn is_down(&self, dependency: &str) -> bool {
        self.down.iter().any(|down| down == dependency)
    }
}

/// Asks until it is dropped.
#[derive(Debug)]
pub struct Readiness {
    told: Arc<Mutex<Vec<Told>>>,
    task: JoinHandle<()>,
}

impl Readiness {
    /// Begins to ask. What is no answer of readiness at all is told as "not ready", with nothing down.
    pub fn watch(http: &Http, history: &History) -> Self {
        let told = Arc::new(Mutex::new(Vec::new()));
        let (http, history, into) = (http.clone(), history.clone(), Arc::clone(&told));
        let task = tokio::spawn(async move {
            loop {
                let start = history.now();
                let (ready, down) = ask(&http).await.unwrap_or_default();
                let end = history.now();
                let told = Told {
                    start,
                    end,
                    ready,
                    down,
                };
                into.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(told);
                tokio::time::sleep(EVERY).await;
            }
        });
        Self { told, task }
    }

    /// What it said to whoever asked after `from`.
    pub fn since(&self, from: Duration) -> Vec<Told> {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let since = told.iter().filter(|told| told.start >= from);
        since.cloned().collect()
    }
}

impl Drop for Readiness {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn ask(http: &Http) -> Result<(bool, Vec<String>)> {
    let reply = http.get("/auth/ready", None).await?;
    let report = reply.json();
    let all = report["dependencies"]
        .as_array()
        .context("no dependencies")?;
    let down = all.iter().filter(|one| one["state"] == "down");
    let names = down.filter_map(|one| one["name"].as_str());
    Ok((reply.status == 200, names.map(str::to_owned).collect()))
}
