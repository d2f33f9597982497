//! What the beats of twenty instances cost the primary.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use async_trait::async_trait;
use rustix::time::{ClockId, clock_gettime};
use sso_core::{
    ports::Clock,
    revocation::{LeaseTerms, Revocations},
};
use sso_crypto::SystemRandom;
use sso_store_postgres::{
    Limits, PostgresStore,
    leases::{Leases, Terms},
    servers::Settings,
};
use time::OffsetDateTime;
use tokio::task::JoinSet;

use super::Place;
use crate::{
    Plan,
    load::cpu_micros,
    report::{Report, Series},
};

const INSTANCES: usize = 20;
const BEAT: Duration = Duration::from_millis(200);

/// The leases of twenty instances and nothing else of them: their beats, and the looks at who the
/// primary is.
pub(crate) async fn measure(plan: &Plan, report: &mut Report) -> Result<()> {
    let place = Place::start().await?;
    let site = place.site(plan, "beats").await?;
    let url = place.server.node.url("beats");
    let postmaster = place.server.node.pid()?;
    let mut idle = Series::default();
    for _ in 0..plan.runs {
        idle.push(cores(postmaster, plan.run).await?);
    }
    let mut instances = JoinSet::new();
    for number in 0..INSTANCES {
        let store = instance(&url, number).await?;
        instances.spawn(beat(store));
    }
    tokio::time::sleep(BEAT * 5).await;
    let mut beating = Series::default();
    for _ in 0..plan.runs {
        beating.push(cores(postmaster, plan.run).await?);
        if let Some(ended) = instances.try_join_next() {
            ended??;
        }
    }
    instances.shutdown().await;
    drop(site);
    report.figure("PostgreSQL at rest", "cores", &idle);
    let what = "PostgreSQL with the beats of 20 instances";
    report.goal(what, "cores", "<= 0.02", &beating);
    Ok(())
}

async fn instance(url: &str, number: usize) -> Result<PostgresStore> {
    let settings = Settings::new(url.parse().ok().context("no URL")?);
    let store = PostgresStore::open(&settings, Limits::default(), false).await?;
    let terms = Terms {
        lease: Duration::from_secs(10),
        fence: Duration::from_secs(2),
        standbys: None,
        name: format!("bench {number}"),
    };
    let servers = store.servers().clone();
    let leases = Leases::new(servers, Arc::new(Machine), terms, Arc::new(SystemRandom));
    Ok(store.with_leases(leases))
}

async fn beat(store: PostgresStore) -> Result<()> {
    let revocations = Revocations::new(Arc::new(store), Arc::new(Machine), LeaseTerms::default());
    loop {
        revocations.beat().await?;
        tokio::time::sleep(revocations.until_beat(BEAT)).await;
    }
}

/// Processor time of the server's processes over `run`, in cores. Those that are there at the end:
/// a process that comes and goes is a connection of ours that we look away from.
async fn cores(postmaster: u32, run: Duration) -> Result<f64> {
    let (started, before) = (Instant::now(), used(postmaster)?);
    tokio::time::sleep(run).await;
    Ok((used(postmaster)? - before) / 1e6 / started.elapsed().as_secs_f64())
}

fn used(postmaster: u32) -> Result<f64> {
    let mut total = cpu_micros(postmaster)?;
    for entry in std::fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        // It may have ended meanwhile.
        let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else {
            continue;
        };
        let parent = stat
            .rsplit(')')
            .next()
            .and_then(|rest| rest.split_whitespace().nth(1));
        if parent.and_then(|parent| parent.parse().ok()) == Some(postmaster) {
            total += cpu_micros(pid).unwrap_or_default();
        }
    }
    Ok(total)
}

/// The machine's clocks.
struct Machine;

#[async_trait]
impl Clock for Machine {
    #[expect(clippy::disallowed_methods, reason = "this is the Clock port")]
    fn now(&self) -> OffsetDateTime {
        OffsetDateTime::now_utc()
    }

    fn monotonic(&self) -> Duration {
        let time = clock_gettime(ClockId::Boottime);
        let nanos = u32::try_from(time.tv_nsec).unwrap_or_default();
        Duration::new(u64::try_from(time.tv_sec).unwrap_or_default(), nanos)
    }

    async fn sleep_until(&self, until: Duration) {
        tokio::time::sleep(until.saturating_sub(self.monotonic())).await;
    }
}
