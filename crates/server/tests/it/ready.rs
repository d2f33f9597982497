//! `/auth/ready` in each fault of what the service stands on: PostgreSQL's primary and replica, Redis,
//! Kafka, the schema registry; each away, and each of them frozen, which is worse, since nothing says
//! no.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use sso_testkit::{
    http::Http,
    persona::Persona,
    process::Server,
    readiness::in_time,
    servers::{Pair, Redis, kafka::Kafka, registry::Registry},
};

use crate::{
    kafka::{LONG, TOPIC},
    support::{eventually_within, site, unique},
    whole::site_on,
};

/// How soon it is said that the primary is silent.
const SAID_WITHIN: Duration = Duration::from_secs(5);

/// Status and report, in time.
pub(crate) async fn asked(http: &Http) -> Result<(u16, Value)> {
    in_time(http, "/auth/ready").await
}

/// Waits until it says so of the whole and of one dependency: status and state, name and state.
pub(crate) async fn tells(server: &Server, whole: (u16, &str), one: (&str, &str)) -> Result<()> {
    let last = tokio::sync::Mutex::new(Value::Null);
    let told = eventually_within(LONG, one.0, async || {
        let (status, report) = asked(&server.http).await?;
        let all = report["dependencies"].as_array().context("no list")?;
        let found = all.iter().find(|found| found["name"] == one.0);
        let found = found.with_context(|| format!("no {} in {report}", one.0))?;
        let is_so = found["state"] == one.1 && report["state"] == whole.1 && status == whole.0;
        if is_so && one.1 == "down" {
            // What it means for callers is said, and since when.
            ensure!(
                found["detail"].is_string() && found["since"].is_string(),
                "{found}"
            );
        }
        *last.lock().await = report;
        Ok(is_so)
    });
    let told = told.await;
    let last = last.into_inner();
    told.with_context(|| format!("{whole:?}, {one:?}: {last}"))
}

pub(crate) const READY: (u16, &str) = (200, "ready");
pub(crate) const DEGRADED: (u16, &str) = (200, "degraded");
const CANNOT_VALIDATE: (u16, &str) = (503, "degraded");

struct World {
    server: Server,
    pair: Pair,
    redis: Redis,
    kafka: Kafka,
    registry: Registry,
    _site: sso_testkit::process::Site,
}

impl World {
    async fn start() -> Result<Self> {
        let (pair, redis) = (Pair::start().await?, Redis::start().await?);
        let kafka = Kafka::start().await?;
        kafka.create_topic(TOPIC, 2).await?;
        let registry = Registry::in_memory()?;
        let mut site = site_on(&pair, &redis, &kafka, &registry).await?;
        // Long enough to see what is lost while it lasts.
        site.set("SSO__REVOCATION__LEASE", "15s");
        let server = site.serve().await?;
        Ok(Self {
            server,
            pair,
            redis,
            kafka,
            registry,
            _site: site,
        })
    }

    async fn recovered(&self, dependency: &str) -> Result<()> {
        tells(&self.server, READY, (dependency, "up")).await
    }

    /// Whatever the whole is said to be, which the lease changes meanwhile.
    async fn is_down(&self, dependency: &str) -> Result<()> {
        eventually_within(LONG, dependency, async || {
            let (_, report) = asked(&self.server.http).await?;
            let all = report["dependencies"].as_array().context("no list")?;
            let found = all.iter().find(|found| found["name"] == dependency);
            Ok(found.context("it is not named")?["state"] == "down")
        })
        .await
    }

    async fn degraded(&self, dependency: &str) -> Result<()> {
        tells(&self.server, DEGRADED, (dependency, "down")).await
    }
}

#[tokio::test]
async fn readiness_tells_the_truth_in_time_whatever_is_away_or_frozen() -> Result<()> {
    let mut world = World::start().await?;
    world.recovered("kafka").await?;
    replica(&mut world).await.context("replica")?;
    redis(&mut world).await.context("Redis")?;
    brokers(&mut world).await.context("Kafka")?;
    registry(&mut world).await.context("registry")?;
    everything(&mut world).await.context("everything")?;
    primary(&mut world).await.context("primary")
}

#[tokio::test]
async fn an_embedded_database_that_cannot_be_written_is_down() -> Result<()> {
    let site = site()?;
    let server = site.serve().await?;
    tells(&server, READY, ("database", "up")).await?;
    // Somebody else holds the file; a disk that is full looks the same.
    let held = rusqlite::Connection::open(site.data_dir().join("sso.db"))?;
    held.execute_batch("BEGIN IMMEDIATE")?;
    let refused = server
        .http
        .post("/auth/registration", &registration())
        .await?;
    assert_eq!(refused.status, 503, "{refused:?}");
    tells(&server, DEGRADED, ("database", "down")).await?;
    let log = site.log()?;
    let line = log
        .lines()
        .find(|line| line.contains("a request was not served"));
    let line = line.with_context(|| log.clone())?;
    // Twice the same name would be one or the other, as the reader likes.
    assert_eq!(line.matches(r#""message":"#).count(), 1, "{line}");
    held.execute_batch("ROLLBACK")?;
    let accepted = server
        .http
        .post("/auth/registration", &registration())
        .await?;
    assert_eq!(accepted.status, 201, "{accepted:?}");
    tells(&server, READY, ("database", "up")).await
}

fn registration() -> Value {
    json!({ "email": format!("{}@example.com", unique()), "password": "correct horse battery" })
}

async fn replica(world: &mut World) -> Result<()> {
    world.pair.replicas[0].node.freeze()?;
    world.degraded("replica-1").await.context("frozen")?;
    world.pair.replicas[0].node.thaw()?;
    world.recovered("replica-1").await?;
    world.pair.replicas[0].node.kill9().await?;
    world.degraded("replica-1").await.context("away")?;
    world.pair.replicas[0].node.start().await?;
    world.recovered("replica-1").await
}

async fn redis(world: &mut World) -> Result<()> {
    world.redis.server.freeze()?;
    world.degraded("redis").await.context("frozen")?;
    world.redis.server.thaw()?;
    world.recovered("redis").await?;
    world.redis.server.kill9()?;
    world.degraded("redis").await.context("away")?;
    world.redis.server.start().await?;
    world.recovered("redis").await
}

async fn brokers(world: &mut World) -> Result<()> {
    let broker = *world.kafka.ids().first().context("no broker")?;
    world.kafka.freeze(broker)?;
    world.degraded("kafka").await.context("frozen")?;
    world.kafka.thaw(broker)?;
    world.recovered("kafka").await?;
    world.kafka.kill_all();
    world.degraded("kafka").await.context("away")?;
    // People register all the same.
    Persona::register(&world.server.http, "alice").await?;
    world.kafka.start_all().await?;
    world.recovered("kafka").await
}

async fn registry(world: &mut World) -> Result<()> {
    world.registry.freeze();
    world.degraded("registry").await.context("frozen")?;
    world.registry.thaw();
    world.recovered("registry").await?;
    world.registry.go_away();
    world.degraded("registry").await.context("away")?;
    world.registry.come_back()?;
    world.recovered("registry").await
}

/// All of them frozen at once.
async fn everything(world: &mut World) -> Result<()> {
    let broker = *world.kafka.ids().first().context("no broker")?;
    world.registry.freeze();
    world.kafka.freeze(broker)?;
    world.redis.server.freeze()?;
    world.pair.replicas[0].node.freeze()?;
    world.pair.primary.freeze()?;
    for dependency in ["replica-1", "redis", "kafka", "database"] {
        world.is_down(dependency).await?;
    }
    world.pair.primary.thaw()?;
    world.pair.replicas[0].node.thaw()?;
    world.redis.server.thaw()?;
    world.kafka.thaw(broker)?;
    world.registry.thaw();
    for dependency in ["database", "replica-1", "redis", "kafka", "registry"] {
        world.recovered(dependency).await?;
    }
    Ok(())
}

/// First the database is lost, and when the lease is over, tokens cannot be validated.
async fn primary(world: &mut World) -> Result<()> {
    let alice = Persona::register(&world.server.http, "bob").await?;
    world.pair.primary.freeze()?;
    let frozen = Instant::now();
    world.degraded("database").await.context("frozen")?;
    // Before its statements are given up, after six seconds.
    ensure!(frozen.elapsed() < SAID_WITHIN, "{:?}", frozen.elapsed());
    let lost = ("revocation", "down");
    tells(&world.server, CANNOT_VALIDATE, lost)
        .await
        .context("frozen for long")?;
    ensure!(alice.info().await?.status == 503);
    // A connection on which nothing is answered is not used again.
    ensure!(alice.try_login(&alice.password).await?.status == 503);
    let evicted: u64 = world.server.admin.metric("sso_store_evicted_total").await?;
    ensure!(evicted >= 1, "{evicted}");
    world.pair.primary.thaw()?;
    world.recovered("revocation").await?;
    ensure!(alice.info().await?.status == 200);
    world.pair.primary.kill9().await?;
    world.degraded("database").await.context("away")?;
    tells(&world.server, CANNOT_VALIDATE, lost)
        .await
        .context("away for long")?;
    world.pair.primary.start().await?;
    world.recovered("database").await
}
