//! Redis and PostgreSQL fail together, under revocations: whatever happens to either, nothing is
//! accepted after `everywhere`, nothing later than 1.2 L after `pending`, and no valid token is
//! refused. A few of the faults as it is, with `SSO_FULL_SIZE=1` each alone and each with a
//! failover, and 10,000 revocations in all.

mod faults;

use std::{
    fmt::Write as _,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use sso_testkit::{
    history::{Durability, History, Terms},
    process::{Server, Site},
    servers::{
        Patroni, RedisSentinel,
        patroni::Options,
        redis::{PASSWORD, SENTINEL_PASSWORD},
    },
    workload::Workload,
};

use crate::{ALONE, PATIENCE, full_size, scene};
use faults::{Beside, Fault};

/// Revocations in all.
const WHOLE: usize = 10_000;
/// Clients of every kind beside those who revoke.
const CLIENTS: usize = 4;
/// After a promotion nothing is answered early for 1.2 L and this.
const FENCE: Duration = Duration::from_secs(1);
/// Revocations that are answered `everywhere` in each round after the fault.
const EACH: usize = 20;

/// Shorter than any failover here in the small run, so that it ends.
fn lease() -> Duration {
    if full_size() {
        scene::LEASE
    } else {
        Duration::from_secs(4)
    }
}

fn revokers() -> usize {
    if full_size() { 24 } else { 6 }
}

/// What happens, and with which failover of PostgreSQL beside it.
fn rounds() -> Vec<(Fault, Beside)> {
    if !full_size() {
        return vec![
            (Fault::KillMaster, Beside::KillNode),
            (Fault::LoseWrites, Beside::Switchover),
            (Fault::TwoMasters, Beside::Switchover),
        ];
    }
    let failovers = [Beside::KillNode, Beside::Switchover, Beside::KillPatroni];
    let alone = Fault::ALL.map(|fault| (fault, Beside::Nothing));
    let both = Fault::ALL.into_iter().zip(failovers.into_iter().cycle());
    alone.into_iter().chain(both).collect()
}

struct Storm {
    cluster: Patroni,
    redis: RedisSentinel,
    sites: Vec<Site>,
    history: History,
    workload: Workload,
    failovers: Vec<Duration>,
    report: Vec<String>,
    /// Kept for as long as it runs.
    _servers: Vec<Server>,
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_happens_to_redis_and_postgresql_together_nothing_ended_is_accepted() -> Result<()>
{
    let _alone = ALONE.lock().await;
    let mut storm = Storm::start().await?;
    let rounds = rounds();
    let share = if full_size() {
        WHOLE.div_ceil(rounds.len())
    } else {
        EACH
    };
    for (fault, beside) in rounds {
        storm
            .round(fault, beside, share)
            .await
            .with_context(|| format!("{fault:?} and {beside:?}{}", storm.logs()))?;
    }
    storm.close().await
}

impl Storm {
    async fn start() -> Result<Self> {
        let (cluster, redis) = tokio::try_join!(
            async { Options::new().synchronous().start().await },
            RedisSentinel::start()
        )?;
        let (balanced, direct) = (cluster.url("postgres"), cluster.nodes_url("postgres"));
        let sites = [&balanced, &balanced, &direct]
            .map(|url| site(url, &redis))
            .into_iter()
            .collect::<Result<Vec<_>>>()?;
        sites[0].run_ok(&["migrate", "up"])?;
        let mut servers = Vec::new();
        for site in &sites {
            servers.push(site.serve().await?);
        }
        let history = History::default();
        let instances: Vec<_> = servers.iter().collect();
        let workload = Workload::revoking(&history, &instances, CLIENTS, revokers(), 11).await?;
        let storm = Self {
            cluster,
            redis,
            sites,
            history,
            workload,
            failovers: Vec::new(),
            report: Vec::new(),
            _servers: servers,
        };
        storm.everywhere(EACH).await?;
        Ok(storm)
    }

    /// The fault and its repair, and then until so many more were revoked.
    async fn round(&mut self, fault: Fault, beside: Beside, share: usize) -> Result<()> {
        let (started, before) = (Instant::now(), self.workload.revoked());
        if beside != Beside::Nothing {
            self.failovers.push(self.history.now());
        }
        let happen = faults::happen(
            &mut self.redis,
            &mut self.cluster,
            fault,
            beside,
            &self.workload,
        );
        let done = tokio::time::timeout(PATIENCE * 4, happen).await;
        done.context("it is not repaired")??;
        let took = started.elapsed();
        self.everywhere(EACH).await?;
        let patience = Instant::now();
        while total(self.workload.revoked()) < total(before) + share {
            ensure!(
                patience.elapsed() < PATIENCE * 5,
                "{:?} after {before:?}",
                self.workload.revoked()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let after = self.workload.revoked();
        let line = format!(
            "{fault:?} and {beside:?}: {took:.1?}, then {:.1?}; everywhere {}, pending {}",
            started.elapsed().saturating_sub(took),
            after.0 - before.0,
            after.1 - before.1
        );
        eprintln!("{line}");
        self.report.push(line);
        Ok(())
    }

    /// Waits until so many more were answered `everywhere`.
    async fn everywhere(&self, more: usize) -> Result<()> {
        let (started, before) = (Instant::now(), self.workload.revoked());
        while self.workload.revoked().0 < before.0 + more {
            ensure!(
                started.elapsed() < PATIENCE * 2,
                "{:?} after {before:?}",
                self.workload.revoked()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    async fn close(self) -> Result<()> {
        let (logs, revoked) = (self.logs(), self.workload.revoked());
        // What is pending is everywhere by then, and is tried once more.
        tokio::time::sleep(lease() * 12 / 10 + FENCE).await;
        self.workload.stop().await?;
        let verdict = self.history.judge(&Terms {
            lease: lease(),
            grace: Duration::from_secs(30),
            durability: Durability::Synchronous,
            failovers: self.failovers,
        });
        eprintln!("{}\nrevoked {revoked:?}\n{verdict}", self.report.join("\n"));
        ensure!(verdict.contradictions.is_empty(), "{verdict}{logs}");
        ensure!(verdict.lost.is_empty(), "{verdict}");
        ensure!(!full_size() || total(revoked) >= WHOLE, "{revoked:?}");
        Ok(())
    }

    /// What the instances complain of, for an error.
    fn logs(&self) -> String {
        let mut text = String::new();
        for (number, site) in self.sites.iter().enumerate() {
            let log = site.log().unwrap_or_default();
            let complaints = |line: &&str| !line.contains("\"INFO\"") && !line.contains("served");
            let lines: Vec<_> = log.lines().filter(complaints).collect();
            let last = lines.len().saturating_sub(10);
            let _ = write!(
                text,
                "\n--- instance {number}:\n{}",
                lines[last..].join("\n")
            );
        }
        text
    }
}

fn total((everywhere, pending): (usize, usize)) -> usize {
    everywhere + pending
}

/// Hashes cost little here: revocations are what is wanted.
fn site(url: &str, redis: &RedisSentinel) -> Result<Site> {
    let mut site = scene::site(url)?;
    let sentinels = redis.sentinel_addresses();
    let sentinels: Vec<_> = sentinels.iter().map(ToString::to_string).collect();
    site.set("SSO__REDIS__SENTINELS", sentinels.join(","))
        .set("SSO__REDIS__MASTER_NAME", RedisSentinel::MASTER_NAME)
        .set("SSO__REDIS__PASSWORD", PASSWORD)
        .set("SSO__REDIS__SENTINEL_PASSWORD", SENTINEL_PASSWORD)
        .set("SSO__REVOCATION__LEASE", format!("{}s", lease().as_secs()))
        .set("SSO__REVOCATION__FENCE", format!("{}s", FENCE.as_secs()))
        .set("SSO__PASSWORDS__ARGON2_MEMORY", 8)
        .set("SSO__PASSWORDS__ARGON2_ITERATIONS", 1);
    Ok(site)
}
