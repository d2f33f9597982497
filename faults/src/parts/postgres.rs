//! What happens to the cluster of PostgreSQL.

use std::time::{Duration, Instant};

use anyhow::Result;
use sso_testkit::servers::{Patroni, patroni::Failover};
use tokio::time::sleep;

use super::AWAY;

/// How long a leader that hangs may go without being replaced.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(100);
/// How long a leader hangs on when another has replaced it. One that wakes up in the moment of the promotion
/// may take the lock back, and Patroni (3.0.2) may then not come back at all (decision 0044).
const SETTLED: Duration = Patroni::FAILOVER;
/// How far a replica shows what it has late.
const LATE: Duration = Duration::from_secs(2);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum OfPostgres {
    Failover(Failover),
    FreezeLeader,
    KillReplica,
    PauseReplay,
    DelayReplay,
    FreezeSenders,
    FreezeBalancer,
}

impl OfPostgres {
    pub(crate) const ALL: [Self; 11] = [
        Self::Failover(Failover::KillNode),
        Self::Failover(Failover::Switchover),
        Self::Failover(Failover::KillPostgres),
        Self::Failover(Failover::FreezeEtcd),
        Self::Failover(Failover::KillPatroni),
        Self::FreezeLeader,
        Self::KillReplica,
        Self::PauseReplay,
        Self::DelayReplay,
        Self::FreezeSenders,
        Self::FreezeBalancer,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Failover(Failover::KillNode) => "the leader's machine dies",
            Self::Failover(Failover::KillNodeUnshipped) => "the leader dies with what it kept",
            Self::Failover(Failover::Switchover) => "switchover",
            Self::Failover(Failover::KillPostgres) => "PostgreSQL of the leader is killed",
            Self::Failover(Failover::FreezeEtcd) => "etcd hangs until the leader steps down",
            Self::Failover(Failover::KillPatroni) => {
                "Patroni of the leader is killed: two primaries"
            }
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
            Self::Failover(Failover::FreezeEtcd)
                | Self::FreezeLeader
                | Self::FreezeSenders
                | Self::FreezeBalancer
        )
    }
}

/// Returns when the cluster is as it was before.
pub(super) async fn happen(cluster: &mut Patroni, fault: OfPostgres) -> Result<()> {
    let leader = cluster.some_leader().await?;
    match fault {
        OfPostgres::Failover(how) => return cluster.fail_over(how).await,
        OfPostgres::FreezeLeader => {
            cluster.freeze_node(leader)?;
            // If no standby was in sync at that moment nobody may replace it, and it wakes up as the leader.
            if is_replaced(cluster, leader).await {
                sleep(SETTLED).await;
            }
            cluster.thaw_node(leader)?;
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

/// Waits until another node takes writes; the frozen one cannot be asked.
async fn is_replaced(cluster: &Patroni, before: usize) -> bool {
    let started = Instant::now();
    while started.elapsed() < PATIENCE {
        for node in others(cluster, before) {
            if matches!(cluster.server(node).is_standby().await, Ok(false)) {
                return true;
            }
        }
        sleep(LOOK).await;
    }
    false
}
