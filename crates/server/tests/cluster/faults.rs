//! What happens to the cluster.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use sso_testkit::servers::Patroni;
use tokio::time::sleep;

use crate::PATIENCE;

/// One of the things that happen to a leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Its machine dies.
    KillNode,
    /// Its machine dies after it has acknowledged for a second what it shipped to nobody.
    KillNodeUnshipped,
    /// An operator makes another one the leader.
    Switchover,
    /// PostgreSQL alone is killed: it is started again in place.
    KillPostgres,
    /// The leader cannot reach etcd and demotes itself.
    FreezeEtcd,
    /// Patroni alone is killed: PostgreSQL goes on as a second, writable primary.
    KillPatroni,
}

/// How long commits are acknowledged and not shipped.
const UNSHIPPED: Duration = Duration::from_secs(1);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(100);
/// How long the deposed primary runs on beside the new one.
const BESIDE: Duration = Duration::from_secs(4);

/// Lets it happen, and repairs it; returns when the cluster is as it was before.
pub(crate) async fn happen(cluster: &mut Patroni, fault: Fault) -> Result<()> {
    let leader = leader(cluster).await?;
    match fault {
        Fault::KillNode => kill(cluster, leader).await?,
        Fault::KillNodeUnshipped => {
            cluster.freeze_senders().await?;
            sleep(UNSHIPPED).await;
            kill(cluster, leader).await?;
        }
        Fault::Switchover => {
            cluster.switchover().await?;
        }
        Fault::KillPostgres => cluster.kill9_postgres_only(leader).await?,
        Fault::FreezeEtcd => {
            cluster.freeze_etcd()?;
            let demoted = demoted(cluster, leader).await;
            cluster.thaw_etcd()?;
            demoted?;
        }
        Fault::KillPatroni => {
            cluster.kill9_patroni_only(leader)?;
            cluster.leader_after(leader).await?;
            sleep(BESIDE).await;
            cluster.kill9_postgres_only(leader).await?;
            cluster.start_node(leader)?;
        }
    }
    cluster.ready().await
}

async fn kill(cluster: &mut Patroni, leader: usize) -> Result<()> {
    cluster.kill9_node(leader).await?;
    cluster.leader_after(leader).await?;
    cluster.start_node(leader)
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
