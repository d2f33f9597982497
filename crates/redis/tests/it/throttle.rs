//! Attempts that several instances count as one.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use sso_core::{
    Network,
    ports::{Attempt, Permit, Settled, Throttle, ThrottleReason, Throttled},
    throttle::{AccountKey, AccountKeys, LocalThrottle, ThrottleSettings},
    values::Email,
};
use sso_redis::{Redis, SharedThrottle, SharedThrottleSettings};
use sso_testkit::{
    random::SeededRandom,
    servers::{Redis as Server, RedisSentinel, redis::RedisServer},
};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::support::{RealClock, digest, eventually, follow, is_up, one, sentinels};

/// Enough for a busy machine.
const PATIENCE: Duration = Duration::from_millis(500);
static SEEDS: AtomicU64 = AtomicU64::new(1);

pub(crate) struct Instance {
    pub(crate) throttle: Arc<SharedThrottle>,
    _stop: DropGuard,
}

fn keys() -> AccountKeys {
    let digest = digest(9);
    Arc::new(move |email| AccountKey(u128::from_be_bytes(digest(email.canonical().as_bytes()))))
}

impl Instance {
    pub(crate) fn start(redis: &Redis, settings: &ThrottleSettings) -> Self {
        Self::with_patience(redis, settings, PATIENCE)
    }

    fn with_patience(redis: &Redis, settings: &ThrottleSettings, patience: Duration) -> Self {
        let clock = RealClock::new();
        let local = LocalThrottle::new(settings.clone(), clock.clone(), keys());
        let shared = SharedThrottleSettings {
            prefix: "test".to_owned(),
            patience,
        };
        // Of its own: instances that name their attempts alike count too few.
        let random = Arc::new(SeededRandom::new(SEEDS.fetch_add(1, Ordering::Relaxed)));
        let throttle = SharedThrottle::new(redis.clone(), local, shared, digest(1), clock, random);
        let throttle = Arc::new(throttle);
        let stop = CancellationToken::new();
        let (teller, ends) = (throttle.clone(), stop.clone());
        tokio::spawn(async move { teller.tell(ends).await });
        Self {
            throttle,
            _stop: stop.drop_guard(),
        }
    }

    async fn admit(&self, account: u32, network: u8) -> Result<Permit, Throttled> {
        admit(&*self.throttle, account, network).await
    }

    async fn fail(&self, account: u32, network: u8) -> Result<()> {
        self.admit(account, network).await?.settle(Settled::Failed);
        Ok(())
    }
}

/// Waits until Redis knows what became of every attempt.
async fn told(redis: &Redis, at: &RedisServer) -> Result<()> {
    eventually("all outcomes", async || {
        let under_way = at.command(&["keys", "test:*:now"]).await?;
        Ok(under_way.trim().is_empty() && is_up(redis))
    })
    .await
}

async fn admit(throttle: &dyn Throttle, account: u32, network: u8) -> Result<Permit, Throttled> {
    let email = Email::parse(&format!("a{account}@example.com")).unwrap();
    let attempt = Attempt {
        email: &email,
        network: Network::of(Some(IpAddr::from([10, 0, network, 1]))),
        known: false,
    };
    throttle.admit(attempt).await
}

fn reason(admitted: &Result<Permit, Throttled>) -> Option<ThrottleReason> {
    admitted.as_ref().err().map(|throttled| throttled.reason)
}

#[tokio::test]
async fn failures_over_three_instances_are_counted_as_one_and_a_success_ends_the_row() -> Result<()>
{
    let redis = Server::start().await?;
    let (client, _guard) = follow(one(redis.server.address())).await?;
    let settings = ThrottleSettings::default();
    let three = [0; 3].map(|_| Instance::start(&client, &settings));
    for number in 0..4 {
        three[number % 3].fail(1, 1).await?;
    }
    three[1].admit(1, 1).await?.settle(Settled::Succeeded);
    for number in 0..5 {
        three[number % 3].fail(1, 1).await?;
    }
    for instance in &three {
        let refused = instance.admit(1, 1).await;
        assert_eq!(reason(&refused), Some(ThrottleReason::AccountNetwork));
        instance.admit(1, 2).await?.settle(Settled::Unjudged);
        instance.admit(2, 1).await?.settle(Settled::Unjudged);
    }
    let keys = redis.server.command(&["keys", "*"]).await?;
    assert!(
        !keys.contains("a1@") && keys.contains("test:throttle:account:"),
        "{keys}"
    );
    Ok(())
}

#[tokio::test]
async fn attempts_under_way_anywhere_count_until_they_are_settled() -> Result<()> {
    let redis = Server::start().await?;
    let (client, _guard) = follow(one(redis.server.address())).await?;
    let settings = ThrottleSettings::default();
    let (one, two) = (
        Instance::start(&client, &settings),
        Instance::start(&client, &settings),
    );
    let mut under_way = Vec::new();
    for number in 0..5 {
        let instance = [&one, &two][number % 2];
        under_way.push(instance.admit(1, 1).await?);
    }
    let waits = two.admit(1, 1);
    let mut waits = std::pin::pin!(waits);
    let early = tokio::time::timeout(Duration::from_millis(300), &mut waits).await;
    assert!(early.is_err(), "admitted beside five that are under way");
    under_way.pop().unwrap().settle(Settled::Succeeded);
    waits.await?.settle(Settled::Unjudged);
    Ok(())
}

async fn under_way(looks: &mut redis::aio::MultiplexedConnection) -> Result<Vec<String>> {
    Ok(redis::cmd("KEYS")
        .arg("test:*:now")
        .query_async(looks)
        .await?)
}

/// One instance alone judges as the throttle of a process does.
#[tokio::test]
async fn the_script_judges_as_the_process_does() -> Result<()> {
    let server = Server::start().await?;
    let (client, _guard) = follow(one(server.server.address())).await?;
    let settings = ThrottleSettings {
        account_failures: 6,
        network_accounts: 4,
        ..ThrottleSettings::default()
    };
    let looks = redis::Client::open(server.url())?;
    let mut looks = looks.get_multiplexed_async_connection().await?;
    let mut judged = 0;
    for seed in 0_u32..10 {
        server.server.command(&["flushall"]).await?;
        // A local count that does not help: a new one for each attempt.
        let local = LocalThrottle::new(settings.clone(), RealClock::new(), keys());
        let shared = Instance::start(&client, &settings);
        let started = Instant::now();
        let mut number = seed;
        let mut agreed = Vec::new();
        for _ in 0..80 {
            number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let (account, network) = ((number >> 8) % 6, u8::try_from((number >> 16) % 3)?);
            let settled = match (number >> 24) % 8 {
                0 => Settled::Succeeded,
                1 => Settled::Unjudged,
                _ => Settled::Failed,
            };
            let (here, there) = (
                admit(&local, account, network).await,
                shared.admit(account, network).await,
            );
            agreed.push((reason(&here), reason(&there)));
            for permit in [here, there].into_iter().flatten() {
                permit.settle(settled);
            }
            // Outcomes are told before the next question.
            while !under_way(&mut looks).await?.is_empty() {
                tokio::task::yield_now().await;
            }
        }
        // Turns come each second: then the two clocks decide.
        if started.elapsed() < Duration::from_millis(900) {
            judged += 1;
            for (number, (here, there)) in agreed.iter().enumerate() {
                assert_eq!(here, there, "seed {seed}, attempt {number}");
            }
        }
    }
    ensure!(judged > 0, "the machine is too busy");
    Ok(())
}

#[tokio::test]
async fn without_redis_each_goes_on_from_what_all_have_counted_and_nothing_begins_anew()
-> Result<()> {
    let mut redis = Server::start().await?;
    let (client, _guard) = follow(one(redis.server.address())).await?;
    let settings = ThrottleSettings {
        account_failures: 5,
        ..ThrottleSettings::default()
    };
    let (one, two) = (
        Instance::start(&client, &settings),
        Instance::start(&client, &settings),
    );
    for (network, instance) in (1..).zip([&one, &two, &one, &two]) {
        instance.fail(1, network).await?;
        told(&client, &redis.server).await?;
    }
    redis.server.kill9()?;
    eventually("the loss", async || Ok(!is_up(&client))).await?;
    // The fifth: the one that failed last knows of four. Then one turn a minute.
    two.fail(1, 5).await?;
    two.admit(1, 6).await?.settle(Settled::Unjudged);
    let capped = two.admit(1, 7).await;
    assert_eq!(reason(&capped), Some(ThrottleReason::Account));
    two.fail(2, 1).await?;

    // Back, and without its data.
    redis.server.start().await?;
    redis.server.command(&["flushall"]).await?;
    eventually("the return", async || Ok(is_up(&client))).await?;
    two.admit(1, 8).await?.settle(Settled::Unjudged);
    let capped = two.admit(1, 9).await;
    assert_eq!(reason(&capped), Some(ThrottleReason::Account));
    // By that Redis knows it again, and tells the other.
    let capped = one.admit(1, 10).await;
    assert_eq!(reason(&capped), Some(ThrottleReason::Account));
    one.fail(2, 1).await
}

#[tokio::test]
async fn a_failover_that_loses_data_neither_locks_out_nor_resets_the_total() -> Result<()> {
    let mut cluster = RedisSentinel::start().await?;
    let (client, _guard) = follow(sentinels(&cluster)).await?;
    let settings = ThrottleSettings {
        account_failures: 12,
        ..ThrottleSettings::default()
    };
    let three = [0; 3].map(|_| Instance::start(&client, &settings));
    let master = cluster.master().await?;
    cluster.cut_replication().await?;
    for number in 0..12_u8 {
        three[usize::from(number) % 3].fail(1, number).await?;
        told(&client, &cluster.servers[master]).await?;
    }
    cluster.servers[master].kill9()?;
    cluster.master_after(master).await?;
    eventually("the new master", async || Ok(is_up(&client))).await?;
    // The instance that counted last knew of the total.
    let capped = three[2].admit(1, 100).await;
    assert!(capped.is_ok(), "one turn: {capped:?}");
    for instance in &three {
        let refused = instance.admit(1, 101).await;
        assert_eq!(reason(&refused), Some(ThrottleReason::Account));
        instance.admit(2, 101).await?.settle(Settled::Succeeded);
    }
    Ok(())
}

#[tokio::test]
async fn a_redis_that_hangs_holds_up_nobody() -> Result<()> {
    let mut redis = Server::start().await?;
    let (client, _guard) = follow(one(redis.server.address())).await?;
    let patience = Duration::from_millis(50);
    let instance = Instance::with_patience(&client, &ThrottleSettings::default(), patience);
    instance.fail(1, 1).await?;
    redis.server.freeze()?;
    let started = Instant::now();
    for account in 0..50 {
        instance.admit(account, 1).await?.settle(Settled::Succeeded);
    }
    let took = started.elapsed();
    assert!(took < Duration::from_millis(500), "{took:?}");
    redis.server.thaw()?;
    Ok(())
}
