//! What happens to the cluster of PostgreSQL.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use sso_testkit::servers::Patroni;
use tokio::time::sleep;

use super::AWAY;

/// How long the cluster may take for anything.
const PATIENCE: Duration = Duration::from_mins(2);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(100);
/// How long a deposed primary runs on beside the new one.
const BESIDE: Duration = Duration::from_secs(4);
/// How far a replica shows what it has late.
const LATE: Duration = Duration::from_secs(2);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum OfPostgres {
    KillLeader,
    Switchover,
    KillPostgres,
    FreezeEtcd,
    KillPatroni,
    FreezeLeader,
    KillReplica,
    PauseReplay,
    DelayReplay,
    FreezeSenders,
    FreezeBalancer,
}

impl OfPostgres {
    pub(crate) const ALL: [Self; 11] = [
        Self::KillLeader,
        Self::Switchover,
        Self::KillPostgres,
        Self::FreezeEtcd,
        Self::KillPatroni,
        Self::FreezeLeader,
        Self::KillReplica,
        Self::PauseReplay,
        Self::DelayReplay,
        Self::FreezeSenders,
        Self::FreezeBalancer,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::KillLeader => "the leader's machine dies",
            Self::Switchover => "switchover",
            Self::KillPostgres => "PostgreSQL of the leader is killed",
            Self::FreezeEtcd => "etcd hangs until the leader steps down",
            Self::KillPatroni => "Patroni of the leader is killed: two primaries",
            Self::FreezeLeader => "the leader hangs, is replaced, and wakes up",
            Self::KillReplica => "a replica's machine dies",
            Self::PauseReplay => "replay stands still on both replicas",
            Self::DelayReplay => "both replicas show everything 2 s late",
            Self::FreezeSenders => "the leader's walsenders hang",
            Self::FreezeBalancer => "HAProxy hangs",
        }
    }

    /// Whether a primary may be out of reach for longer than instances are trusted without it.
    pub(crate) const fn outlasts_the_lease(self) -> bool {
        matches!(
            self,
            Self::FreezeEtcd | Self::FreezeLeader | Self::FreezeSenders | Self::FreezeBalancer
        )
    }
}

/// Returns when the cluster is as it was before.
pub(super) async fn happen(cluster: &mut Patroni, fault: OfPostgres) -> Result<()> {
    let leader = leader(cluster).await?;
    match fault {
        OfPostgres::KillLeader => {
            cluster.kill9_node(leader).await?;
            cluster.leader_after(leader).await?;
            cluster.start_node(leader)?;
        }
        OfPostgres::Switchover => {
            cluster.switchover().await?;
        }
        OfPostgres::KillPostgres => cluster.kill9_postgres_only(leader).await?,
        OfPostgres::FreezeEtcd => {
            cluster.freeze_etcd()?;
            let demoted = demoted(cluster, leader).await;
            cluster.thaw_etcd()?;
            demoted?;
        }
        OfPostgres::KillPatroni => {
            cluster.kill9_patroni_only(leader)?;
            cluster.leader_after(leader).await?;
            sleep(BESIDE).await;
            cluster.kill9_postgres_only(leader).await?;
            cluster.start_node(leader)?;
        }
        OfPostgres::FreezeLeader => {
            cluster.freeze_node(leader)?;
            let replaced = replaced(cluster, leader).await;
            cluster.thaw_node(leader)?;
            replaced?;
        }
        OfPostgres::KillReplica => {
            let replica = other(cluster, leader);
            cluster.kill9_node(replica).await?;
            sleep(AWAY).await;
            cluster.start_node(replica)?;
        }
        OfPostgres::PauseReplay => {
            for replica in others(cluster, leader) {
                cluster.pause_replay(replica).await?;
            }
            sleep(AWAY).await;
            for replica in others(cluster, leader) {
                cluster.resume_replay(replica).await?;
            }
        }
        OfPostgres::DelayReplay => {
            for replica in others(cluster, leader) {
                cluster.delay(replica, LATE).await?;
            }
            sleep(AWAY).await;
            for replica in others(cluster, leader) {
                cluster.delay(replica, Duration::ZERO).await?;
            }
        }
        OfPostgres::FreezeSenders => {
            cluster.freeze_senders().await?;
            sleep(AWAY / 2).await;
            cluster.thaw_senders()?;
        }
        OfPostgres::FreezeBalancer => {
            cluster.freeze_haproxy()?;
            sleep(AWAY / 2).await;
            cluster.thaw_haproxy()?;
        }
    }
    cluster.ready().await
}

fn others(cluster: &Patroni, leader: usize) -> impl Iterator<Item = usize> + use<> {
    (0..cluster.nodes()).filter(move |node| *node != leader)
}

fn other(cluster: &Patroni, leader: usize) -> usize {
    (leader + 1) % cluster.nodes()
}

/// On a busy machine a leader may be asked a moment too early.
async fn leader(cluster: &Patroni) -> Result<usize> {
    let started = Instant::now();
    loop {
        match cluster.leader().await {
            Err(_) if started.elapsed() < PATIENCE => sleep(LOOK).await,
            leader => return leader,
        }
    }
}

/// Waits until the leader leads no more.
async fn demoted(cluster: &Patroni, leader: usize) -> Result<()> {
    let node = cluster.server(leader);
    let started = Instant::now();
    loop {
        // While it restarts it does not answer.
        if node.is_standby().await.unwrap_or(true) {
            return Ok(());
        }
        ensure!(started.elapsed() < PATIENCE, "it leads on");
        sleep(LOOK).await;
    }
}

/// Waits until another node takes writes; the frozen one cannot be asked.
async fn replaced(cluster: &Patroni, before: usize) -> Result<()> {
    let started = Instant::now();
    loop {
        for node in others(cluster, before) {
            if matches!(cluster.server(node).is_standby().await, Ok(false)) {
                return Ok(());
            }
        }
        ensure!(started.elapsed() < PATIENCE, "nobody replaces it");
        sleep(LOOK).await;
    }
}
