//! `/loyalty/ready` in each fault of what the service needs: its database, `sso`, Kafka; each away, and
//! each of them frozen, which is worse, since nothing says no.

use anyhow::{Context, Result};
use sso_testkit::{
    patience::eventually,
    program::{DEGRADED, READY, Running, UNREADY},
    servers::{Postgres, Proxy},
};

use crate::support::{Bus, Shop, Store};

struct World {
    running: Running,
    shop: Shop,
    bus: Bus,
    postgres: Postgres,
}

impl World {
    async fn start() -> Result<Self> {
        let bus = Bus::new().await?;
        let postgres = Postgres::start().await?;
        let mut shop = Shop::new(Store::Sqlite).await?;
        bus.connect(&mut shop.loyalty);
        shop.loyalty
            .set("database.url", postgres.database("loyalty").await?)
            .set("database.timeout", "1s")
            .set("ledger.check_every", "1s");
        Ok(Self {
            running: shop.loyalty.start().await?,
            shop,
            bus,
            postgres,
        })
    }

    async fn recovered(&self, dependency: &str) -> Result<()> {
        self.running.tells(READY, dependency, "up").await
    }
}

#[tokio::test]
async fn readiness_tells_the_truth_in_time_whatever_is_away_or_frozen() -> Result<()> {
    let mut world = World::start().await?;
    for dependency in ["kafka", "database", "sso"] {
        world.recovered(dependency).await?;
    }
    database(&mut world).await.context("PostgreSQL")?;
    sso(&mut world).await.context("sso")?;
    brokers(&mut world).await.context("Kafka")?;
    everything(&mut world).await.context("everything")
}

async fn database(world: &mut World) -> Result<()> {
    world.postgres.node.freeze()?;
    let frozen = world.running.tells(UNREADY, "database", "down").await;
    frozen.context("frozen")?;
    world.postgres.node.thaw()?;
    world.recovered("database").await?;
    world.postgres.node.kill9().await?;
    let away = world.running.tells(UNREADY, "database", "down").await;
    away.context("away")?;
    checked(&world.running, "failed").await?;
    world.postgres.node.start().await?;
    world.recovered("database").await?;
    checked(&world.running, "done").await
}

/// Waits for another check of the ledger that ends so.
async fn checked(running: &Running, outcome: &str) -> Result<()> {
    let checks = format!("loyalty_ledger_checks_total{{outcome=\"{outcome}\"}}");
    let before = running.metric(&checks).await?;
    eventually(
        &checks,
        async || Ok(running.metric(&checks).await? > before),
    )
    .await
}

/// Its keys are known: each token can be asked about, once it is there again.
async fn sso(world: &mut World) -> Result<()> {
    let ended = "sso_verifier_streams_ended_total";
    let before = world.running.metric(ended).await?;
    world.shop.sso.freeze()?;
    let frozen = world.running.tells(DEGRADED, "sso", "down").await;
    frozen.context("frozen")?;
    let after = world.running.metric(ended).await?;
    assert!(after > before, "{before} streams, then {after}");
    world.shop.sso.thaw()?;
    world.recovered("sso").await?;
    world.shop.sso.kill()?;
    let away = world.running.tells(DEGRADED, "sso", "down").await;
    away.context("away")?;
    world.shop.sso = world.shop.site.serve().await?;
    world.recovered("sso").await
}

async fn brokers(world: &mut World) -> Result<()> {
    let broker = *world.bus.kafka.ids().first().context("no broker")?;
    world.bus.kafka.freeze(broker)?;
    let frozen = world.running.tells(DEGRADED, "kafka", "down").await;
    frozen.context("frozen")?;
    world.bus.kafka.thaw(broker)?;
    world.recovered("kafka").await?;
    world.bus.kafka.kill_all();
    let away = world.running.tells(DEGRADED, "kafka", "down").await;
    away.context("away")?;
    world.bus.kafka.start_all().await?;
    world.recovered("kafka").await
}

/// All of them frozen at once.
async fn everything(world: &mut World) -> Result<()> {
    let broker = *world.bus.kafka.ids().first().context("no broker")?;
    world.bus.kafka.freeze(broker)?;
    world.shop.sso.freeze()?;
    world.postgres.node.freeze()?;
    for dependency in ["kafka", "sso", "database"] {
        world.running.tells(UNREADY, dependency, "down").await?;
    }
    world.postgres.node.thaw()?;
    world.shop.sso.thaw()?;
    world.bus.kafka.thaw(broker)?;
    for dependency in ["kafka", "sso", "database"] {
        world.recovered(dependency).await?;
    }
    Ok(())
}

/// Kafka is away here: all is well but for that.
#[tokio::test]
async fn an_embedded_database_that_cannot_be_written_is_down() -> Result<()> {
    let shop = Shop::new(Store::Sqlite).await?;
    let running = shop.loyalty.start().await?;
    running.tells(DEGRADED, "database", "up").await?;
    // Somebody else holds the file.
    let file = shop.loyalty.folder().join("data/loyalty.db");
    let held = rusqlite::Connection::open(file)?;
    held.execute_batch("BEGIN IMMEDIATE")?;
    running.tells(UNREADY, "database", "down").await?;
    held.execute_batch("ROLLBACK")?;
    running.tells(DEGRADED, "database", "up").await
}

/// As above. Who has never seen a key of `sso` can say nothing of any token.
#[tokio::test]
async fn until_a_key_of_sso_is_known_it_is_not_ready() -> Result<()> {
    let mut shop = Shop::new(Store::Sqlite).await?;
    let road = Proxy::start(shop.sso.http_address)?;
    let keys = format!("http://{}/.well-known/jwks.json", road.address());
    shop.loyalty.set("sso.jwks_url", keys);
    let faults: [fn(&Proxy); 2] = [Proxy::freeze, Proxy::cut];
    for fault in faults {
        fault(&road);
        let mut running = shop.loyalty.spawn()?;
        let alive = async || Ok(running.http.get("/loyalty/healthz", None).await.is_ok());
        eventually("it listens", alive).await?;
        running.tells(UNREADY, "sso", "down").await?;
        road.mend();
        running.tells(DEGRADED, "sso", "up").await?;
        running.kill()?;
    }
    Ok(())
}

/// As above. The stream of revocations is refused, and each token asked about.
#[tokio::test]
async fn who_may_not_hear_revocations_says_so_and_asks_about_tokens() -> Result<()> {
    let mut shop = Shop::new(Store::Sqlite).await?;
    shop.restrict("'auth'").await?;
    let alice = shop.user("alice").await?;
    let running = shop.loyalty.start().await?;
    running.tells(DEGRADED, "sso", "down").await?;
    let answered = "sso_verifier_questions_total{outcome=\"answered\"}";
    assert_eq!(running.metric(answered).await?, 0);
    let path = format!("/loyalty/{}", alice.id);
    eventually("she is known, and has no account", async || {
        let reply = running.http.get(&path, Some(&alice.access)).await?;
        Ok(reply.status == 404)
    })
    .await?;
    assert!(running.metric(answered).await? > 0);
    assert!(running.metric("sso_verifier_streams_ended_total").await? > 0);
    let trusted: f64 = running.http.metric("sso_verifier_trusted_seconds").await?;
    assert!(trusted <= 0.0, "{trusted}");
    Ok(())
}
