//! Shards by advisory locks: one holder each, spread evenly, given up in time.

use std::{sync::Arc, time::Duration};

use anyhow::{Result, ensure};
use sso_core::{
    ports::{Clock, Shards},
    values::ShardSet,
};
use sso_store_postgres::{
    servers::{Servers, Settings},
    shards::ShardLocks,
};
use sso_testkit::servers::{Postgres, Proxy};
use tokio::time::{Instant, sleep};

use crate::{
    leases::instance::JumpingClock,
    support::{Database, LONG, settings},
};

/// How long what was begun can last.
const DELIVERY: Duration = Duration::from_millis(500);

/// One instance that delivers.
struct Instance {
    locks: ShardLocks,
    clock: Arc<JumpingClock>,
}

impl Instance {
    async fn new(settings: &Settings) -> Result<Self> {
        let servers = Servers::open(settings).await?;
        let clock = JumpingClock::new();
        let locks = ShardLocks::new(servers, Arc::clone(&clock) as Arc<dyn Clock>, DELIVERY);
        Ok(Self { locks, clock })
    }

    async fn tend(&self) -> Result<()> {
        Ok(self.locks.tend(ShardSet::NONE).await?)
    }

    fn mine(&self) -> ShardSet {
        self.locks.mine()
    }
}

/// Several on a database of their own.
async fn instances(count: usize) -> Result<(Database, Vec<Instance>)> {
    let database = Database::migrated().await?;
    let mut instances = Vec::new();
    for _ in 0..count {
        instances.push(Instance::new(&settings(&database.url)?).await?);
    }
    Ok((database, instances))
}

/// Tends all of them until it is so.
async fn until(
    what: &str,
    instances: &[Instance],
    holds: impl Fn(&[ShardSet]) -> bool,
) -> Result<()> {
    let started = Instant::now();
    loop {
        for instance in instances {
            instance.tend().await?;
            let all: Vec<_> = instances.iter().map(Instance::mine).collect();
            for (at, one) in all.iter().enumerate() {
                let others = all[..at].iter().all(|other| other.and(*one).is_empty());
                ensure!(others, "two hold one shard: {all:?}");
            }
        }
        let all: Vec<_> = instances.iter().map(Instance::mine).collect();
        if holds(&all) {
            return Ok(());
        }
        ensure!(started.elapsed() < LONG, "{what} did not come: {all:?}");
        sleep(Duration::from_millis(20)).await;
    }
}

fn sizes(all: &[ShardSet]) -> Vec<u32> {
    let mut sizes: Vec<_> = all.iter().map(|shards| shards.len()).collect();
    sizes.sort_unstable();
    sizes
}

#[tokio::test(flavor = "multi_thread")]
async fn shards_are_spread_evenly_over_who_comes_and_goes() -> Result<()> {
    let (_database, mut instances) = instances(3).await?;
    assert_eq!(instances[0].mine(), ShardSet::NONE);
    until("all", &instances[..1], |all| sizes(all) == [8]).await?;
    until("halves", &instances[..2], |all| sizes(all) == [4, 4]).await?;
    until("thirds", &instances, |all| sizes(all) == [2, 3, 3]).await?;
    instances[0].locks.leave().await;
    assert_eq!(instances[0].mine(), ShardSet::NONE);
    instances.remove(0);
    until("halves again", &instances, |all| sizes(all) == [4, 4]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shard_in_use_is_given_up_by_name_at_once_and_by_lock_when_it_is_not() -> Result<()> {
    let (_database, instances) = instances(2).await?;
    let [one, two] = &instances[..] else {
        unreachable!()
    };
    one.tend().await?;
    assert_eq!(one.mine(), ShardSet::ALL);
    two.tend().await?;
    one.locks.tend(ShardSet::ALL).await?;
    // Nothing of them begins any more; what is under way goes on under the lock.
    let kept = one.mine();
    assert_eq!(kept.len(), 4);
    for _ in 0..3 {
        two.tend().await?;
        one.locks.tend(ShardSet::ALL).await?;
        assert_eq!((one.mine(), two.mine()), (kept, ShardSet::NONE));
    }
    one.locks.tend(ShardSet::NONE).await?;
    two.tend().await?;
    assert_eq!(two.mine(), ShardSet::ALL.without(kept));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_confirmed_is_over_by_ones_own_clock_before_another_has_it() -> Result<()> {
    let (_database, instances) = instances(1).await?;
    instances[0].tend().await?;
    instances[0].clock.jump(Duration::from_secs(2));
    assert_eq!(instances[0].mine(), ShardSet::ALL);
    instances[0].clock.jump(Duration::from_secs(2));
    assert_eq!(instances[0].mine(), ShardSet::NONE);
    instances[0].tend().await?;
    assert_eq!(instances[0].mine(), ShardSet::ALL);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_hangs_loses_his_shards_when_nothing_of_his_can_be_under_way() -> Result<()> {
    let (_database, instances) = instances(2).await?;
    let hung = &instances[0];
    hung.tend().await?;
    let begun = Instant::now();
    until("what he had", &instances[1..], |all| sizes(all) == [8]).await?;
    // What he believes to hold, what he began in that time, and a margin.
    assert!(
        begun.elapsed() > Duration::from_secs(4),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(hung.mine(), ShardSet::NONE);
    hung.tend().await.unwrap_err();
    assert_eq!(hung.mine(), ShardSet::NONE);
    until("halves", &instances, |all| sizes(all) == [4, 4]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_connection_the_shards_are_gone() -> Result<()> {
    let (database, instances) = instances(2).await?;
    until("halves", &instances, |all| sizes(all) == [4, 4]).await?;
    let end = "select count(pg_terminate_backend(pid)) from pg_locks
               where locktype = 'advisory' and classid = 1397968709 and objid = 8
                 and database = (select oid from pg_database where datname = current_database())";
    assert_eq!(database.execute(end).await?.trim(), "2");
    for instance in &instances {
        instance.tend().await.unwrap_err();
        assert_eq!(instance.mine(), ShardSet::NONE);
    }
    until("halves again", &instances, |all| sizes(all) == [4, 4]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_is_out_of_reach_is_an_error_and_no_shard() -> Result<()> {
    let server = Postgres::shared().await?;
    let database = Database::migrated().await?;
    let proxy = Proxy::start(server.node.address())?;
    let (before, after) = database.url.rsplit_once('@').unwrap();
    let (_, path) = after.split_once('/').unwrap();
    let url = format!("{before}@{}/{path}", proxy.address());
    let mut settings = settings(&url)?;
    settings.acquire_timeout = Duration::from_secs(1);
    settings.connect_timeout = Duration::from_secs(1);
    let instance = Instance::new(&settings).await?;
    instance.tend().await?;
    assert_eq!(instance.mine(), ShardSet::ALL);
    proxy.freeze();
    instance.tend().await.unwrap_err();
    assert_eq!(instance.mine(), ShardSet::NONE);
    Ok(())
}
