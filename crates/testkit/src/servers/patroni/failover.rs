//! What makes another node the leader, or the same one lead anew, from the harm to its repair.

use std::time::Duration;

use anyhow::{Result, ensure};
use tokio::time::sleep;

use super::Patroni;
use crate::servers::wait::{LIMIT, eventually};

/// One of the things that happen to a leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Failover {
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
/// How long the deposed primary runs on beside the new one.
const BESIDE: Duration = Duration::from_secs(4);

impl Patroni {
    /// Lets it happen, and repairs it; returns when the cluster is as it was before.
    pub async fn fail_over(&mut self, how: Failover) -> Result<()> {
        let leader = self.some_leader().await?;
        match how {
            Failover::KillNode => self.replace(leader).await?,
            Failover::KillNodeUnshipped => {
                self.freeze_senders().await?;
                sleep(UNSHIPPED).await;
                self.replace(leader).await?;
            }
            Failover::Switchover => {
                self.switchover().await?;
            }
            Failover::KillPostgres => self.kill9_postgres_only(leader).await?,
            Failover::FreezeEtcd => {
                self.freeze_etcd()?;
                let demoted = self.demoted(leader).await;
                self.thaw_etcd()?;
                demoted?;
            }
            Failover::KillPatroni => {
                self.kill9_patroni_only(leader)?;
                self.leader_after(leader).await?;
                sleep(BESIDE).await;
                self.kill9_postgres_only(leader).await?;
                self.start_node(leader)?;
            }
        }
        self.ready().await
    }

    /// The node that leads, once there is one: on a busy machine one may ask a moment too early.
    pub async fn some_leader(&self) -> Result<usize> {
        eventually("a leader", LIMIT, || self.leader()).await
    }

    async fn replace(&mut self, leader: usize) -> Result<()> {
        self.kill9_node(leader).await?;
        self.leader_after(leader).await?;
        self.start_node(leader)
    }

    /// Waits until the leader leads no more.
    async fn demoted(&self, leader: usize) -> Result<()> {
        eventually("the demotion", LIMIT, || async {
            // While it restarts it does not answer.
            let is_standby = self.server(leader).is_standby().await;
            ensure!(is_standby.unwrap_or(true), "it leads on");
            Ok(())
        })
        .await
    }
}
