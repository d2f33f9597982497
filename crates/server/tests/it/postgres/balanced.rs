//! Several replicas behind one address, as behind HAProxy's port of replicas.

use std::sync::Arc;

use anyhow::ensure;
use http::StatusCode;
use sso_testkit::{
    persona::Persona,
    servers::{Node, Proxy},
};

use super::{
    cluster::{Ledger, pair},
    stale::{lives, two},
    *,
};
use crate::support::{eventually_within, unique};

const LONG: std::time::Duration = std::time::Duration::from_mins(1);

/// How often users were looked up at a replica.
async fn looked_up(replica: &Node) -> Result<u64> {
    let count = "select idx_scan from pg_stat_user_tables where relname = 'users'";
    Ok(replica.execute(count).await?.parse()?)
}

/// A lag belongs to the server, not to the address.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_the_replicas_behind_one_port_those_are_read_that_are_near() -> Result<()> {
    let (mut pair, urls) = pair(2).await?;
    let addresses = [0, 1].map(|at| pair.replicas[at].node.address());
    let port = Proxy::start(addresses[0])?;
    port.set_targets(&addresses);
    let behind_one = through(&urls[0], port.address())?;
    let instances = two(&pair, &[behind_one]).await?;
    let alice = Persona::register(&instances[0].server.http, &unique()).await?;
    // Asks until users are looked up there.
    let is_read = async |replica: &Node| {
        let before = looked_up(replica).await?;
        eventually_within(LONG, "reads of a replica", async || {
            for at in &instances {
                let info = alice.at(&at.server.http).info().await?;
                ensure!(info.status == StatusCode::OK, "{info:?}");
            }
            Ok(looked_up(replica).await? > before)
        })
        .await
    };
    for replica in &pair.replicas {
        is_read(&replica.node).await?;
    }

    // One stands still: the other goes on, and nobody is told what was.
    pair.replicas[1].node.pause_replay().await?;
    let ledger = Arc::<Ledger>::default();
    lives(40, &instances, &ledger).await?;
    is_read(&pair.replicas[0].node).await?;
    ledger.close()?;

    // The other dies, and the one that stood still goes on: a balancer leads to it only.
    pair.replicas[0].node.kill9().await?;
    port.set_targets(&addresses[1..]);
    lives(20, &instances, &ledger).await?;
    pair.replicas[1].node.resume_replay().await?;
    is_read(&pair.replicas[1].node).await?;
    lives(20, &instances, &ledger).await?;
    ledger.close()
}
