//! Brokers and registry that are away, hang or restart, under a load of registrations.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use sso_testkit::{persona::Persona, process::Server, servers::kafka::Kafka};
use tokio::time::Instant;

use super::{LONG, Load, TOPIC, World, deliver, within};
use crate::{
    ready::{DEGRADED, READY, asked, tells},
    support::eventually_within,
};

/// Events that wait in the database when the brokers come back.
const BACKLOG: i32 = 5_000;
/// How long events may wait, which have waited for two seconds, until readiness says so. They may also
/// be on their way.
const SAID_WITHIN: Duration = Duration::from_secs(4);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_dies_or_hangs_and_a_restart_of_all_lose_nothing() -> Result<()> {
    let mut world = World::on(Kafka::start_three().await?, "relay_three").await?;
    let site = world.site()?;
    let server = site.serve().await?;
    deliver(&[(&server, 8.0)]).await?;
    let load = Load::start(&[&server.http], 4);
    load.until(30).await?;

    let leader = world.kafka.leader(TOPIC, 0).await?;
    world.kafka.kill9(leader)?;
    more(&world, &server, &load).await?;
    world.kafka.start_all().await?;
    world.kafka.in_sync(TOPIC).await?;

    let leader = world.kafka.leader(TOPIC, 1).await?;
    world.kafka.freeze(leader)?;
    more(&world, &server, &load).await?;
    world.kafka.thaw(leader)?;
    world.kafka.in_sync(TOPIC).await?;

    // One alone takes nothing.
    for broker in world.kafka.ids().into_iter().take(2) {
        world.kafka.kill9(broker)?;
    }
    load.until(load.told().len() + 20).await?;
    tells(&server, DEGRADED, ("events", "down")).await?;
    world.kafka.start_all().await?;
    world.kafka.in_sync(TOPIC).await?;
    more(&world, &server, &load).await?;

    world.kafka.restart_all().await?;
    more(&world, &server, &load).await?;
    let acknowledged = load.end().await;
    world.kafka.in_sync(TOPIC).await?;
    tells(&server, READY, ("events", "up")).await?;
    tells(&server, READY, ("kafka", "up")).await?;
    let duplicates = world.check(&acknowledged).await?;
    println!(
        "{} acknowledged, {duplicates} duplicates",
        acknowledged.len()
    );
    Ok(())
}

/// Registrations go on, with more events of some users, and events of all partitions arrive. While some
/// do not, readiness says so.
async fn more(world: &World, server: &Server, load: &Load) -> Result<()> {
    let told = load.told();
    for user in told.iter().rev().take(20) {
        world.more_of(*user).await?;
    }
    load.until(told.len() + 40).await?;
    let sql = "select coalesce(max(sequence), 0) from outbox";
    let last: i64 = world.sql.query_one(sql, &[]).await?.get(0);
    let sql = "select count(*) from outbox where sequence <= $1 and status <> 'Success'";
    let began = Instant::now();
    loop {
        if world.sql.query_one(sql, &[&last]).await?.get::<_, i64>(0) == 0 {
            return Ok(());
        }
        ensure!(began.elapsed() < LONG, "what was stored is not delivered");
        tokio::time::timeout(SAID_WITHIN, said_of_what_waits(world, server))
            .await
            .context("events wait, and readiness says that all is well")??;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until no event has waited for long, or readiness says that they do.
async fn said_of_what_waits(world: &World, server: &Server) -> Result<()> {
    let sql = "select count(*) from outbox
               where status <> 'Success' and created_at < now() - interval '2 seconds'";
    loop {
        let waiting: i64 = world.sql.query_one(sql, &[]).await?.get(0);
        let (_, report) = asked(&server.http).await?;
        let all = report["dependencies"].as_array().context("no list")?;
        let down = |name: &str| {
            let found = all.iter().find(|found| found["name"] == name);
            found.is_some_and(|found| found["state"] == "down")
        };
        if waiting == 0 || down("events") || down("kafka") {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backlog_is_told_and_drains_while_registrations_go_on() -> Result<()> {
    let mut world = World::start("relay_backlog").await?;
    world.registry.go_away();
    world.kafka.kill_all();
    let site = world.site()?;
    let server = site.serve().await?;
    deliver(&[(&server, 8.0)]).await?;
    let mut acknowledged = Vec::new();
    for number in 0..10 {
        let user = Persona::register(&server.http, &format!("away{number}")).await?;
        acknowledged.push(user.id.parse()?);
    }
    pile_up(&world, acknowledged[0]).await?;
    let (waiting, oldest) = (
        r#"sso_outbox_backlog{status="inProgress"}"#,
        "sso_outbox_oldest_seconds",
    );
    eventually_within(LONG, "the backlog tells", async || {
        let told = server.admin.metric::<f64>(waiting).await? >= f64::from(BACKLOG);
        Ok(told && server.admin.metric::<f64>(oldest).await? > 0.0)
    })
    .await?;
    let sql = "select count(*) from outbox where attempts > 0 or status <> 'inProgress'";
    let touched: i64 = world.sql.query_one(sql, &[]).await?.get(0);
    assert_eq!(touched, 0, "an outage is no attempt");

    world.kafka.start_all().await?;
    world.registry.come_back()?;
    let begun = eventually_within(LONG, "it begins to drain", async || {
        Ok(world.waiting().await? < i64::from(BACKLOG))
    });
    begun.await?;
    let (mut during, mut slowest) = (0, Duration::ZERO);
    within(LONG, "the drain", async {
        while world.waiting().await? > 0 {
            let asked = Instant::now();
            let user = Persona::register(&server.http, &format!("during{during}")).await?;
            slowest = slowest.max(asked.elapsed());
            acknowledged.push(user.id.parse()?);
            during += 1;
        }
        Ok(())
    })
    .await?;
    println!("{during} registrations beside the drain, the slowest took {slowest:?}");
    ensure!(during > 0, "it drained before anybody registered");
    ensure!(slowest < Duration::from_secs(5), "starved: {slowest:?}");
    world.check(&acknowledged).await?;
    Ok(())
}

/// Events of as many users, as an hour without Kafka would leave.
async fn pile_up(world: &World, like: uuid::Uuid) -> Result<()> {
    let sql =
        "with new as (select gen_random_uuid() as user_id from generate_series(1, $2::integer))
               insert into outbox (id, user_id, shard, kind, payload, status, attempts, created_at)
               select gen_random_uuid(), n.user_id, get_byte(uuid_send(n.user_id), 15) % 8, o.kind,
                      o.payload, 'inProgress', 0, now()
               from new n cross join outbox o where o.user_id = $1";
    let stored = world.sql.execute(sql, &[&like, &BACKLOG]).await?;
    ensure!(stored == u64::try_from(BACKLOG)?, "{stored}");
    Ok(())
}
