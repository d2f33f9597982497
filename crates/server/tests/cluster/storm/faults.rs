//! What happens to Redis, and to PostgreSQL at the same time.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use sso_testkit::{
    servers::{Patroni, RedisSentinel, patroni::Failover, redis::RedisServer},
    workload::Workload,
};
use tokio::time::sleep;

use crate::{PATIENCE, full_size};

const STREAM: &str = "sso:revocations";
/// How long nothing of Redis is there.
const AWAY: Duration = Duration::from_mins(1);
/// Revocations that Redis acknowledges and will lose.
const LOST: usize = 10;
/// How often somebody trims the stream, or writes into it.
const STRANGER: usize = 50;

/// What happens to Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// kill -9 of the master.
    KillMaster,
    /// The replicas lose the master, which takes more and dies.
    LoseWrites,
    /// SENTINEL FAILOVER.
    Failover,
    /// The master hangs, another is promoted, and it comes back as a second one.
    TwoMasters,
    /// FLUSHALL.
    FlushAll,
    /// The master comes back without its data, and the replicas copy that.
    RestartEmpty,
    /// Somebody trims the stream.
    Trimmed,
    /// Somebody writes what is no entry, another type, and the last of all ids.
    Nonsense,
    /// None of it is there.
    Away,
}

impl Fault {
    pub(crate) const ALL: [Self; 9] = [
        Self::KillMaster,
        Self::LoseWrites,
        Self::Failover,
        Self::TwoMasters,
        Self::FlushAll,
        Self::RestartEmpty,
        Self::Trimmed,
        Self::Nonsense,
        Self::Away,
    ];
}

/// What happens to PostgreSQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beside {
    Nothing,
    /// Its machine dies.
    KillNode,
    /// An operator makes another one the leader.
    Switchover,
    /// Patroni alone is killed: there are two primaries for a while.
    KillPatroni,
}

/// Lets both happen and repairs both.
pub(crate) async fn happen(
    redis: &mut RedisSentinel,
    cluster: &mut Patroni,
    fault: Fault,
    beside: Beside,
    workload: &Workload,
) -> Result<()> {
    let postgres = async {
        match beside {
            Beside::Nothing => Ok(()),
            Beside::KillNode => cluster.fail_over(Failover::KillNode).await,
            Beside::Switchover => cluster.fail_over(Failover::Switchover).await,
            Beside::KillPatroni => cluster.fail_over(Failover::KillPatroni).await,
        }
    };
    match fault {
        Fault::KillMaster | Fault::LoseWrites => dies(redis, fault, postgres, workload).await,
        Fault::TwoMasters => two_masters(redis, postgres).await,
        Fault::Away => away(redis, postgres).await,
        Fault::Failover => {
            both(async { redis.failover().await.map(|_| ()) }, postgres).await?;
            redis.ready().await
        }
        Fault::FlushAll => both(redis.flushall(), postgres).await,
        Fault::RestartEmpty => both(redis.restart_master_empty(), postgres).await,
        Fault::Trimmed => both(trimmed(redis), postgres).await,
        Fault::Nonsense => both(nonsense(redis), postgres).await,
    }
}

async fn both(
    redis: impl Future<Output = Result<()>>,
    postgres: impl Future<Output = Result<()>>,
) -> Result<()> {
    let (redis, postgres) = tokio::join!(redis, postgres);
    redis.and(postgres)
}

async fn dies(
    redis: &mut RedisSentinel,
    fault: Fault,
    postgres: impl Future<Output = Result<()>>,
    workload: &Workload,
) -> Result<()> {
    let master = redis.master().await?;
    if fault == Fault::LoseWrites {
        redis.cut_replication().await?;
        go_on(workload).await?;
    }
    redis.servers[master].kill9()?;
    let next = async { redis.master_after(master).await.map(|_| ()) };
    both(next, postgres).await?;
    if fault == Fault::LoseWrites {
        redis.mend_replication().await?;
    }
    redis.servers[master].start().await?;
    redis.ready().await
}

async fn two_masters(
    redis: &mut RedisSentinel,
    postgres: impl Future<Output = Result<()>>,
) -> Result<()> {
    let master = redis.master().await?;
    redis.servers[master].freeze()?;
    redis.master_after(master).await?;
    redis.servers[master].thaw()?;
    // Sentinel makes it a replica some ten seconds later.
    postgres.await?;
    redis.ready().await
}

async fn away(redis: &mut RedisSentinel, postgres: impl Future<Output = Result<()>>) -> Result<()> {
    for server in redis.servers.iter_mut().chain(&mut redis.sentinels) {
        server.kill9()?;
    }
    let silence = async {
        sleep(if full_size() { AWAY } else { AWAY / 12 }).await;
        Ok(())
    };
    both(silence, postgres).await?;
    for server in redis.servers.iter_mut().chain(&mut redis.sentinels) {
        server.start().await?;
    }
    redis.ready().await
}

async fn trimmed(redis: &RedisSentinel) -> Result<()> {
    let server = master(redis).await?;
    for _ in 0..STRANGER {
        for command in [&["xtrim", STREAM, "maxlen", "0"][..], &["del", STREAM]] {
            server.command(command).await?;
        }
    }
    Ok(())
}

async fn nonsense(redis: &RedisSentinel) -> Result<()> {
    let server = master(redis).await?;
    server.command(&["set", STREAM, "nonsense"]).await?;
    for _ in 0..STRANGER {
        let last = ["xadd", STREAM, "18446744073709551615-1", "a", "b"];
        let forged = ["xadd", STREAM, "*", "id", "1", "seal", "none"];
        for command in [&forged[..], &last] {
            // Another type may stand there, or the ids may be used up.
            let _ = server.command(command).await;
        }
    }
    Ok(())
}

async fn master(redis: &RedisSentinel) -> Result<&RedisServer> {
    Ok(&redis.servers[redis.master().await?])
}

/// Waits for revocations that are told to the master that will lose them.
async fn go_on(workload: &Workload) -> Result<()> {
    let (started, before) = (Instant::now(), workload.revoked().0);
    while workload.revoked().0 < before + LOST {
        ensure!(started.elapsed() < PATIENCE, "nothing is revoked");
        sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}
