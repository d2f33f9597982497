//! kill -9 at every step of an event's way through the service.

#![expect(clippy::print_stdout, reason = "figures, for who asks for them")]

use anyhow::{Context, Result, ensure};
use sso_events::failpoint::Step;
use sso_testkit::{patience::eventually, program::Program};
use uuid::Uuid;

use crate::support::{Bus, Shop, Store, database};

/// Services beside each other, and how often each is killed.
fn size() -> (usize, usize) {
    let full = std::env::var_os("SSO_FULL_SIZE").is_some();
    if full { (4, 25) } else { (2, 5) }
}

const EACH: usize = 12;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_step_points_come_once_and_the_ledger_balances() -> Result<()> {
    let bus = Bus::new().await?;
    let mut shop = Shop::new(Store::Sqlite).await?;
    bus.connect(&mut shop.loyalty);
    let (lanes, kills) = size();
    let runs = (0..lanes).map(|number| {
        let (bus, shop) = (&bus, &shop);
        async move {
            let topic = format!("lane{number}");
            bus.kafka.create_topic(&topic, 3).await?;
            let mut loyalty = shop.loyalty.another()?;
            loyalty
                .set("kafka.topic", &topic)
                .set("kafka.group", &topic)
                .set("ledger.check_every", "1s");
            if number % 2 == 1 {
                loyalty.set("database.url", database().await?);
            }
            let users = killed(bus, &mut loyalty, number, kills).await?;
            judge(&mut loyalty, &topic, users).await.context(topic)
        }
    });
    futures_util::future::try_join_all(runs).await?;
    Ok(())
}

/// How many users there are then.
async fn killed(bus: &Bus, loyalty: &mut Program, number: usize, kills: usize) -> Result<usize> {
    let mut users = 0;
    for round in 0..kills {
        let step = Step::SERVICE[(round + number) % Step::SERVICE.len()];
        for _ in 0..EACH {
            let (event, user) = (Uuid::from_u128(users), Uuid::from_u128(1_000_000 + users));
            bus.register_in(&format!("lane{number}"), event, user)
                .await?;
            users += 1;
        }
        let point = format!("{}@{}", step.name(), 1 + (round * 3) % 8);
        loyalty.set_variable("LOYALTY_FAILPOINT", Some(&point));
        let status = loyalty.spawn()?.ended().await;
        let status = status.with_context(|| point.clone())?;
        ensure!(status.code().is_none(), "{point}: {status}");
        let said = loyalty.run_ok(&["ledger", "check"])?;
        ensure!(said.contains("sum to 0; 0 transfers and 0"), "{said}");
    }
    Ok(usize::try_from(users)?)
}

async fn judge(loyalty: &mut Program, topic: &str, users: usize) -> Result<()> {
    loyalty.set_variable("LOYALTY_FAILPOINT", None);
    let mut running = loyalty.start().await?;
    let expected = format!("{} entries sum to 0; 0 transfers and 0", 2 * users);
    eventually("everybody has his points", async || {
        Ok(loyalty.run_ok(&["ledger", "check"])?.starts_with(&expected))
    })
    .await?;
    // What comes again is known.
    loyalty.set("kafka.group", format!("{topic}-again"));
    ensure!(running.stop().await?.success());
    let mut running = loyalty.start().await?;
    let known = "loyalty_credits_total{outcome=\"known\"}";
    eventually("the whole topic is known", async || {
        Ok(running.metric(known).await? >= i64::try_from(users)?)
    })
    .await?;
    ensure!(running.stop().await?.success());
    let said = loyalty.run_ok(&["ledger", "check"])?;
    ensure!(said.starts_with(&expected), "{said}");
    println!("{topic}: {users} users have their points once");
    Ok(())
}

/// A rebalance while points are credited: two instances on one ledger.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitions_change_hands_and_points_come_once() -> Result<()> {
    let bus = Bus::new().await?;
    let mut shop = Shop::new(Store::Postgres).await?;
    bus.connect(&mut shop.loyalty);
    let other = shop.loyalty.another()?;
    let mut users = 0_u128;
    let mut more = async || -> Result<u128> {
        for _ in 0..40 {
            let (event, user) = (Uuid::from_u128(users), Uuid::from_u128(1_000_000 + users));
            bus.register(event, user).await?;
            users += 1;
        }
        Ok(users)
    };
    more().await?;
    let mut one = shop.loyalty.start().await?;
    let mut two = other.start().await?;
    more().await?;
    ensure!(one.stop().await?.success());
    more().await?;
    let one = shop.loyalty.start().await?;
    more().await?;
    two.kill()?;
    let all = more().await?;
    let expected = format!("{} entries sum to 0; 0 transfers and 0", 2 * all);
    eventually("everybody has his points", async || {
        let said = shop.loyalty.run_ok(&["ledger", "check"])?;
        Ok(said.starts_with(&expected))
    })
    .await?;
    assert_eq!(one.metric("loyalty_ledger_balance").await?, 0);
    Ok(())
}
