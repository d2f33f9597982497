//! What happens to Redis and its sentinels.

use anyhow::{Context, Result};
use sso_testkit::servers::RedisSentinel;
use tokio::time::sleep;

use super::AWAY;
use crate::system::STREAM;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum OfRedis {
    KillMaster,
    CutAndKillMaster,
    Failover,
    FreezeMaster,
    FlushAll,
    RestartEmpty,
    AllAway,
    Trim,
    Nonsense,
}

impl OfRedis {
    pub(crate) const ALL: [Self; 9] = [
        Self::KillMaster,
        Self::CutAndKillMaster,
        Self::Failover,
        Self::FreezeMaster,
        Self::FlushAll,
        Self::RestartEmpty,
        Self::AllAway,
        Self::Trim,
        Self::Nonsense,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::KillMaster => "the master of Redis is killed",
            Self::CutAndKillMaster => "Redis acknowledges what is lost, then its master is killed",
            Self::Failover => "SENTINEL FAILOVER",
            Self::FreezeMaster => "the master of Redis hangs, is replaced, and wakes up",
            Self::FlushAll => "FLUSHALL",
            Self::RestartEmpty => "the master of Redis restarts empty",
            Self::AllAway => "all of Redis and Sentinel is away",
            Self::Trim => "a stranger trims the stream",
            Self::Nonsense => "a stranger writes nonsense to the stream",
        }
    }
}

/// Returns when it is as it was before.
pub(super) async fn happen(redis: &mut RedisSentinel, fault: OfRedis) -> Result<()> {
    let master = redis.master().await?;
    match fault {
        OfRedis::KillMaster => {
            redis.servers[master].kill9()?;
            redis.master_after(master).await?;
            redis.servers[master].start().await?;
        }
        OfRedis::CutAndKillMaster => {
            redis.cut_replication().await?;
            sleep(AWAY / 6).await;
            redis.servers[master].kill9()?;
            redis.master_after(master).await?;
            redis.mend_replication().await?;
            redis.servers[master].start().await?;
        }
        OfRedis::Failover => {
            redis.failover().await?;
        }
        OfRedis::FreezeMaster => {
            redis.servers[master].freeze()?;
            let replaced = redis.master_after(master).await;
            redis.servers[master].thaw()?;
            replaced?;
        }
        OfRedis::FlushAll => redis.flushall().await?,
        OfRedis::RestartEmpty => redis.restart_master_empty().await?,
        OfRedis::AllAway => away(redis).await?,
        OfRedis::Trim => {
            let trim = ["xtrim", STREAM, "maxlen", "0"];
            redis.servers[master].command(&trim).await?;
        }
        OfRedis::Nonsense => {
            for (field, value) in [("", ""), ("sealed", "nonsense"), ("x", "\u{1}\u{2}")] {
                let add = ["xadd", STREAM, "*", field, value];
                redis.servers[master].command(&add).await?;
            }
        }
    }
    redis.ready().await
}

/// The master comes back first, so that the sentinels find what they remember.
async fn away(redis: &mut RedisSentinel) -> Result<()> {
    let master = redis.master().await?;
    for server in redis.sentinels.iter_mut().chain(&mut redis.servers) {
        server.kill9()?;
    }
    sleep(AWAY).await;
    let mut order: Vec<_> = (0..redis.servers.len()).collect();
    order.sort_by_key(|number| *number != master);
    for number in order {
        let server = redis.servers.get_mut(number).context("no such server")?;
        server.start().await?;
    }
    for sentinel in &mut redis.sentinels {
        sentinel.start().await?;
    }
    Ok(())
}
