//! What happens to a cluster.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use http::Method;
use rustix::process::Signal;

use super::{
    Patroni,
    config::{self, INCLUDED},
};
use crate::{
    http::Http,
    servers::{
        sandbox::{members, signal_members},
        wait::{ANSWER, LIMIT, eventually},
    },
};

impl Patroni {
    /// kill -9 of Patroni and of PostgreSQL with all its children, as when the machine dies.
    pub async fn kill9_node(&mut self, node: usize) -> Result<()> {
        self.kill9_patroni_only(node)?;
        self.kill9_postgres_only(node).await
    }

    /// kill -9 of Patroni alone: its PostgreSQL stays and, if it led, takes writes that nobody will
    /// know of. HAProxy keeps clients from it, a direct connection does not.
    pub fn kill9_patroni_only(&mut self, node: usize) -> Result<()> {
        let daemon = self.nodes[node].patroni.take();
        daemon.context("the node does not run")?.kill9()
    }

    /// kill -9 of PostgreSQL alone: Patroni starts it again in place within seconds.
    pub async fn kill9_postgres_only(&self, node: usize) -> Result<()> {
        let data = self.server(node).data().to_owned();
        let killed = members(&data)?;
        eventually("the end of PostgreSQL", LIMIT, || async {
            let left = members(&data)?;
            let left: Vec<_> = left.iter().filter(|pid| killed.contains(pid)).collect();
            for pid in &left {
                let _ = rustix::process::kill_process(**pid, Signal::KILL);
            }
            ensure!(left.is_empty(), "{left:?} are left");
            Ok(())
        })
        .await
    }

    /// Starts a node again. It rejoins by pg_rewind or by a base backup; see [`Patroni::ready`].
    pub fn start_node(&mut self, node: usize) -> Result<()> {
        ensure!(self.nodes[node].patroni.is_none(), "the node runs");
        let room = self.sandbox.room().clone();
        self.nodes[node].start(&room, &config::name(node))
    }

    /// Asks Patroni to make another node the leader, and waits for it; the new leader.
    pub async fn switchover(&self) -> Result<usize> {
        let leader = self.leader().await?;
        let rest = Http::new(self.nodes[leader].rest.address());
        let body = serde_json::json!({ "leader": config::name(leader) }).to_string();
        let headers = [("content-type", "application/json")];
        let asked = rest.send(Method::POST, "/switchover", &headers, body);
        let reply = tokio::time::timeout(LIMIT, asked)
            .await
            .context("the switchover did not end")??;
        ensure!(
            reply.status == 200,
            "Patroni refuses: {}",
            String::from_utf8_lossy(&reply.bytes)
        );
        self.leader_after(leader).await
    }

    /// SIGSTOP of etcd. After the time to live the leader demotes itself: nobody leads.
    pub fn freeze_etcd(&self) -> Result<()> {
        self.etcd.freeze()
    }

    /// SIGCONT of etcd.
    pub fn thaw_etcd(&self) -> Result<()> {
        self.etcd.thaw()
    }

    /// SIGSTOP of HAProxy: connections through it hang.
    pub fn freeze_haproxy(&self) -> Result<()> {
        self.haproxy.freeze()
    }

    /// SIGCONT of HAProxy.
    pub fn thaw_haproxy(&self) -> Result<()> {
        self.haproxy.thaw()
    }

    /// SIGSTOP of Patroni and of PostgreSQL with its children: a machine that hangs. It loses the
    /// leadership after the time to live, and does not know it when it is thawed.
    pub fn freeze_node(&self, node: usize) -> Result<()> {
        signal_members(&self.folder(node), Signal::STOP)
    }

    /// SIGCONT of a node, its walsenders included.
    pub fn thaw_node(&self, node: usize) -> Result<()> {
        signal_members(&self.folder(node), Signal::CONT)
    }

    /// SIGSTOP of the leader's walsenders: commits go on and are shipped to nobody. If the leader
    /// is killed then, they are lost. It lasts: a frozen sender holds the slot of its replica.
    pub async fn freeze_senders(&mut self) -> Result<()> {
        let leader = self.leader().await?;
        self.nodes[leader].server.freeze_senders().await
    }

    /// SIGCONT of the walsenders that were frozen, wherever they are.
    pub fn thaw_senders(&mut self) -> Result<()> {
        for node in &mut self.nodes {
            node.server.thaw_senders()?;
        }
        Ok(())
    }

    /// A replica shows no commit from now on, until [`Self::resume_replay`]; it receives all.
    pub async fn pause_replay(&self, node: usize) -> Result<()> {
        self.delay(node, Duration::from_hours(1)).await
    }

    /// Undoes [`Self::pause_replay`] and [`Self::delay`].
    pub async fn resume_replay(&self, node: usize) -> Result<()> {
        self.delay(node, Duration::ZERO).await
    }

    /// A replica shows commits so much later than they were made. A promotion ends it, losing
    /// nothing. Patroni undoes pg_wal_replay_pause and ALTER SYSTEM within a loop, but not this.
    pub async fn delay(&self, node: usize, by: Duration) -> Result<()> {
        let server = self.server(node);
        let wanted = by.as_millis().to_string();
        let file = format!("{}/data/{INCLUDED}", config::name(node));
        let line = format!("recovery_min_apply_delay = '{wanted}ms'\n");
        self.sandbox.room().write(&file, &line)?;
        server.execute("select pg_reload_conf()").await?;
        let asked = "select setting from pg_settings where name = 'recovery_min_apply_delay'";
        eventually("the delay", ANSWER, || async {
            let setting = server.execute(asked).await?;
            ensure!(setting == wanted, "it is {setting} ms");
            Ok(())
        })
        .await
    }

    fn folder(&self, node: usize) -> std::path::PathBuf {
        self.sandbox.room().folder().join(config::name(node))
    }
}
