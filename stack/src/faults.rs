//! What can be done to the system.

use std::{fmt::Write, time::Duration};

use anyhow::{Result, bail};
use tokio::time::sleep;

use crate::system::System;

/// How long what hangs hangs.
const HANG: Duration = Duration::from_secs(5);

const FAULTS: [(&str, &str); 10] = [
    (
        "kill-leader",
        "kill -9 of the leading PostgreSQL node; it comes back after the failover",
    ),
    ("switchover", "Patroni makes another node the leader"),
    (
        "lag",
        "the replicas show what they receive 3 s later, for 20 s",
    ),
    ("freeze-etcd", "etcd hangs for 5 s"),
    (
        "kill-redis",
        "kill -9 of the Redis master; it comes back after the failover",
    ),
    ("flush-redis", "FLUSHALL"),
    ("kill-kafka", "kill -9 of the broker; it comes back at once"),
    ("registry-away", "the Schema Registry is away for 5 s"),
    ("kill-sso", "kill -9 of one instance; it comes back at once"),
    ("freeze-sso", "one instance hangs for 5 s"),
];

/// Every fault with what it does.
pub(crate) fn list() -> String {
    let mut text = String::new();
    for (name, what) in FAULTS {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{name:14} {what}");
    }
    text
}

/// Causes a fault and says what became of it.
pub(crate) async fn cause(system: &mut System, fault: &str) -> Result<String> {
    match fault {
        "kill-leader" => {
            let leader = system.patroni.leader().await?;
            system.patroni.kill9_node(leader).await?;
            let next = system.patroni.leader_after(leader).await?;
            system.patroni.start_node(leader)?;
            Ok(format!("node {leader} was killed, node {next} leads"))
        }
        "switchover" => {
            let next = system.patroni.switchover().await?;
            Ok(format!("node {next} leads"))
        }
        "lag" => {
            let replicas = system.patroni.replicas().await;
            for node in &replicas {
                system.patroni.delay(*node, Duration::from_secs(3)).await?;
            }
            sleep(4 * HANG).await;
            for node in replicas {
                system.patroni.delay(node, Duration::ZERO).await?;
            }
            Ok("the replicas were 3 s late for 20 s".to_owned())
        }
        "freeze-etcd" => {
            system.patroni.freeze_etcd()?;
            sleep(HANG).await;
            system.patroni.thaw_etcd()?;
            Ok("etcd hung for 5 s".to_owned())
        }
        "kill-redis" => {
            let master = system.redis.master().await?;
            system.redis.servers[master].kill9()?;
            let next = system.redis.master_after(master).await?;
            system.redis.servers[master].start().await?;
            Ok(format!(
                "server {master} was killed, server {next} is the master"
            ))
        }
        "flush-redis" => {
            system.redis.flushall().await?;
            Ok("Redis is empty".to_owned())
        }
        "kill-kafka" => {
            let id = system.kafka.ids()[0];
            system.kafka.kill9(id)?;
            system.kafka.start_all().await?;
            Ok("the broker was killed and is back".to_owned())
        }
        "registry-away" => {
            system.registry.go_away();
            sleep(HANG).await;
            system.registry.come_back()?;
            Ok("the registry was away for 5 s".to_owned())
        }
        "kill-sso" => {
            let [first, _] = &mut system.sso;
            first.kill()?;
            first.start()?;
            first.ready().await?;
            Ok(format!("{} was killed and is back", first.name))
        }
        "freeze-sso" => {
            let [first, _] = &system.sso;
            first.daemon()?.freeze()?;
            sleep(HANG).await;
            first.daemon()?.thaw()?;
            Ok(format!("{} hung for 5 s", first.name))
        }
        other => bail!("{other}: no such fault\n{}", list()),
    }
}
