//! A plain client of the balancer: when does it show a leader that takes writes?

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Result, ensure};
use sso_testkit::history::History;
use tokio::task::{JoinHandle, JoinSet};
use tokio_postgres::{Config, NoTls};

/// How often it tries, whether the tries before have ended or not.
const EVERY: Duration = Duration::from_millis(100);
/// How long a try may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Commits one empty message by each of its connections. Dropping it ends it.
pub(crate) struct Observer {
    written: Arc<Mutex<Vec<Duration>>>,
    task: JoinHandle<()>,
}

impl Observer {
    pub(crate) fn start(history: &History, url: &str) -> Result<Self> {
        let mut config: Config = url.parse()?;
        config.connect_timeout(PATIENCE);
        let written = Arc::new(Mutex::new(Vec::new()));
        let (clock, into) = (history.clone(), Arc::clone(&written));
        let task = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(EVERY);
            let mut tries = JoinSet::new();
            loop {
                ticks.tick().await;
                let (config, clock, into) = (config.clone(), clock.clone(), Arc::clone(&into));
                tries.spawn(async move {
                    let answer = tokio::time::timeout(PATIENCE, write(&config)).await;
                    if let Ok(Ok(())) = answer {
                        into.lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .push(clock.now());
                    }
                });
                while tries.try_join_next().is_some() {}
            }
        });
        Ok(Self { written, task })
    }

    /// When it had succeeded.
    pub(crate) fn written(&self) -> Vec<Duration> {
        let written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        written.clone()
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn write(config: &Config) -> Result<()> {
    let (client, connection) = config.connect(NoTls).await?;
    let driver = tokio::spawn(connection);
    let asked = client.query_one("select pg_is_in_recovery()", &[]).await;
    let done = match asked {
        Ok(row) if !row.get::<_, bool>(0) => client
            .query_one("select pg_logical_emit_message(true, 'observer', '')", &[])
            .await
            .map(|_| ()),
        Ok(_) => {
            driver.abort();
            ensure!(false, "a replica");
            return Ok(());
        }
        Err(error) => Err(error),
    };
    driver.abort();
    Ok(done?)
}

/// The longest time without a success.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outage {
    pub(crate) from: Duration,
    pub(crate) to: Duration,
}

impl Outage {
    pub(crate) fn length(&self) -> Duration {
        self.to.saturating_sub(self.from)
    }
}

/// The longest since `from`; it may last until `now`.
pub(crate) fn outage(from: Duration, now: Duration, successes: &[Duration]) -> Outage {
    let mut times: Vec<_> = successes
        .iter()
        .copied()
        .filter(|at| *at > from && *at < now)
        .collect();
    times.push(now);
    times.sort_unstable();
    let (mut last, mut longest) = (from, Outage { from, to: from });
    for at in times {
        if at.saturating_sub(last) > longest.length() {
            longest = Outage { from: last, to: at };
        }
        last = at;
    }
    longest
}
