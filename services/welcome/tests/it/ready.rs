//! `/welcome/ready` in each fault of what the service needs: the mail server, the database, Kafka; each
//! away, and each of them frozen, which is worse, since nothing says no.

use anyhow::{Context, Result};
use sso_testkit::{
    patience::eventually,
    program::{DEGRADED, READY, Running},
    servers::{Postgres, Proxy},
};

use crate::support::{User, World};

#[tokio::test]
async fn readiness_tells_the_truth_in_time_whatever_is_away_or_frozen() -> Result<()> {
    let mut world = World::new().await?;
    let mut postgres = Postgres::start().await?;
    let road = Proxy::start(world.smtp.address())?;
    world
        .welcome
        .set("smtp.url", format!("smtp://{}", road.address()))
        .set("smtp.timeout", "1s")
        .set("database.url", postgres.database("welcome").await?)
        .set("database.timeout", "1s");
    let running = world.welcome.start().await?;
    running.tells(READY, "kafka", "up").await?;
    let mailed = mail_server(&world, &running, &road).await;
    mailed.context("mail server")?;
    let stored = database(&mut postgres, &running).await;
    stored.context("PostgreSQL")?;
    brokers(&mut world, &running).await.context("Kafka")
}

/// How it is shows when it is used; events that wait for it are the lag.
async fn mail_server(world: &World, running: &Running, road: &Proxy) -> Result<()> {
    road.freeze();
    for number in 0..5 {
        let user = User::new(number, &format!("user{number}@example.com"));
        world.register(&user).await?;
    }
    let frozen = running.tells(DEGRADED, "smtp", "down").await;
    frozen.context("frozen")?;
    behind(running, 5).await?;
    road.mend();
    running.tells(READY, "smtp", "up").await?;
    behind(running, 0).await?;
    road.cut();
    world.register(&User::new(5, "user5@example.com")).await?;
    let away = running.tells(DEGRADED, "smtp", "down").await;
    away.context("away")?;
    behind(running, 1).await?;
    road.mend();
    running.tells(READY, "smtp", "up").await?;
    behind(running, 0).await?;
    // Of us, not of the mail: it waits, and is not parked.
    world.smtp.refuse_senders(true);
    world.register(&User::new(6, "user6@example.com")).await?;
    let refused = running.tells(DEGRADED, "smtp", "down").await;
    refused.context("refused")?;
    behind(running, 1).await?;
    world.smtp.refuse_senders(false);
    running.tells(READY, "smtp", "up").await?;
    behind(running, 0).await
}

async fn behind(running: &Running, records: i64) -> Result<()> {
    let what = format!("{records} records behind");
    eventually(&what, async || {
        Ok(running.metric("sso_kafka_consumer_lag_records").await? == records)
    })
    .await
}

async fn database(postgres: &mut Postgres, running: &Running) -> Result<()> {
    postgres.node.freeze()?;
    let frozen = running.tells(DEGRADED, "database", "down").await;
    frozen.context("frozen")?;
    postgres.node.thaw()?;
    running.tells(READY, "database", "up").await?;
    postgres.node.kill9().await?;
    let away = running.tells(DEGRADED, "database", "down").await;
    away.context("away")?;
    postgres.node.start().await?;
    running.tells(READY, "database", "up").await
}

async fn brokers(world: &mut World, running: &Running) -> Result<()> {
    let broker = *world.kafka.ids().first().context("no broker")?;
    world.kafka.freeze(broker)?;
    let frozen = running.tells(DEGRADED, "kafka", "down").await;
    frozen.context("frozen")?;
    world.kafka.thaw(broker)?;
    running.tells(READY, "kafka", "up").await?;
    world.kafka.kill_all();
    let away = running.tells(DEGRADED, "kafka", "down").await;
    away.context("away")?;
    world.kafka.start_all().await?;
    running.tells(READY, "kafka", "up").await
}

#[tokio::test]
async fn an_embedded_database_that_cannot_be_written_is_down() -> Result<()> {
    let world = World::new().await?;
    let running = world.welcome.start().await?;
    running.tells(READY, "database", "up").await?;
    // Somebody else holds the file.
    let file = world.welcome.folder().join("data/welcome.db");
    let held = rusqlite::Connection::open(file)?;
    held.execute_batch("BEGIN IMMEDIATE")?;
    running.tells(DEGRADED, "database", "down").await?;
    held.execute_batch("ROLLBACK")?;
    running.tells(READY, "database", "up").await
}
