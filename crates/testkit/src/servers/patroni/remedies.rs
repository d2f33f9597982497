//! Waiting for the whole cluster, and what an operator does with a replica that does not come back.

use std::time::Duration;

use anyhow::{Result, ensure};
use http::Method;

use super::{Patroni, config};
use crate::{
    http::Http,
    servers::wait::{ANSWER, LIMIT, eventually},
};

/// After that whoever streams from nobody is helped.
const STUCK: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, Copy)]
enum Remedy {
    /// `patronictl restart`: a PostgreSQL that Patroni started while nobody led knows no primary,
    /// waits for ever for the log that makes it consistent, and is asked in vain for its state,
    /// which Patroni 3.1 wants to know before it tells it whom to follow.
    Restart,
    /// `patronictl reinit`: the leader has no longer the log that the replica lacks.
    Reinit,
}

impl Patroni {
    /// Waits until there is a leader, every other node that runs streams from it, both ports of
    /// HAProxy lead to the right servers, and, in the synchronous mode, one of them may be promoted.
    pub async fn ready(&self) -> Result<()> {
        for remedy in [Remedy::Restart, Remedy::Reinit] {
            let waited = eventually("the cluster", STUCK, || self.is_whole()).await;
            let Err(why) = waited else {
                return Ok(());
            };
            eprintln!("{remedy:?} of who streams from nobody: {why:#}");
            if let Err(why) = self.help(remedy).await {
                eprintln!("nobody is helped: {why:#}");
            }
        }
        let waited = eventually("the cluster", LIMIT, || self.is_whole()).await;
        waited.map_err(|why| why.context(self.tails()))
    }

    async fn help(&self, remedy: Remedy) -> Result<()> {
        let leader = self.leader().await?;
        let streaming =
            "select application_name from pg_stat_replication where state = 'streaming'";
        let streaming = self.server(leader).execute(streaming).await?;
        for number in 0..self.nodes() {
            let name = config::name(number);
            let is_stuck = self.nodes[number].patroni.is_some()
                && number != leader
                && !streaming.lines().any(|line| line.trim() == name);
            if !is_stuck {
                continue;
            }
            match remedy {
                Remedy::Restart => self.kill9_postgres_only(number).await?,
                Remedy::Reinit => self.reinit(number).await?,
            }
        }
        Ok(())
    }

    /// Patroni makes the node's data anew, from a base backup of the leader.
    async fn reinit(&self, node: usize) -> Result<()> {
        let rest = Http::new(self.nodes[node].rest.address());
        let headers = [("content-type", "application/json")];
        let body = serde_json::json!({ "force": true }).to_string();
        let asked = rest.send(Method::POST, "/reinitialize", &headers, body);
        let reply = tokio::time::timeout(ANSWER, asked).await??;
        ensure!(
            reply.status == 200,
            "Patroni of {} refuses: {}",
            config::name(node),
            String::from_utf8_lossy(&reply.bytes)
        );
        Ok(())
    }
}
