//! Three instances of the binary on one PostgreSQL, with Redis behind Sentinel, which only helps.

mod commands;
mod faults;
mod sentences;
mod throttle;
mod traces;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;
use http::StatusCode;
use sso_testkit::{
    persona::Persona,
    process::{Server, Site},
    servers::{
        Postgres, RedisSentinel,
        redis::{PASSWORD, SENTINEL_PASSWORD},
    },
};

use crate::support::{eventually_within, site, unique};

/// For what a busy machine does within a second.
pub(crate) const LONG: Duration = Duration::from_secs(40);
/// 32 bytes in base64.
const MASTER_KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

/// Instances of one database.
pub(crate) struct Three {
    pub(crate) sites: Vec<Site>,
    pub(crate) servers: Vec<Server>,
}

/// A site of this database and this Redis, whose leases are short: `everywhere` is answered early
/// only after an instance has run for longer than that.
pub(crate) fn on(database: &str, redis: Option<&RedisSentinel>) -> Result<Site> {
    let mut site = site()?;
    site.set("SSO__DATABASE__URL", database)
        .set("SSO__DATABASE__MIGRATE", true)
        .set("SSO__KEYS__MASTER_KEY", MASTER_KEY)
        .set("SSO__HTTP__PUBLIC_URL", "https://sso.example.com")
        .set("SSO__REVOCATION__LEASE", "4s")
        .set("SSO__REVOCATION__FENCE", "0s");
    if let Some(redis) = redis {
        let sentinels = redis.sentinel_addresses();
        let sentinels: Vec<_> = sentinels.iter().map(ToString::to_string).collect();
        site.set("SSO__REDIS__SENTINELS", sentinels.join(","))
            .set("SSO__REDIS__MASTER_NAME", RedisSentinel::MASTER_NAME)
            .set("SSO__REDIS__PASSWORD", PASSWORD)
            .set("SSO__REDIS__SENTINEL_PASSWORD", SENTINEL_PASSWORD);
    }
    Ok(site)
}

impl Three {
    pub(crate) async fn start(name: &str, redis: Option<&RedisSentinel>) -> Result<Self> {
        Self::start_with(name, redis, on).await
    }

    /// On sites that are made so.
    pub(crate) async fn start_with(
        name: &str,
        redis: Option<&RedisSentinel>,
        site: impl Fn(&str, Option<&RedisSentinel>) -> Result<Site>,
    ) -> Result<Self> {
        let database = Postgres::shared().await?.database(name).await?;
        let sites: Vec<_> = (0..3)
            .map(|_| site(&database, redis))
            .collect::<Result<_>>()?;
        sites[0].run_ok(&["migrate", "up"])?;
        let servers = try_join_all(sites.iter().map(Site::serve)).await?;
        let three = Self { sites, servers };
        // From now on answers come early.
        eventually_within(LONG, "everywhere", async || {
            Ok(three.revoke(0).await?.reach == "everywhere")
        })
        .await?;
        if redis.is_some() {
            three.have_redis("up").await?;
        }
        Ok(three)
    }

    /// Waits until every instance says so of Redis.
    pub(crate) async fn have_redis(&self, state: &str) -> Result<()> {
        for server in &self.servers {
            eventually_within(LONG, &format!("Redis {state}"), async || {
                let found = crate::kafka::dependency(server, "redis").await?;
                Ok(found["state"] == state)
            })
            .await?;
        }
        Ok(())
    }

    /// Somebody registers, is known everywhere, and ends all by instance `at`.
    pub(crate) async fn revoke(&self, at: usize) -> Result<Revoked> {
        let somebody = Persona::register(&self.servers[at].http, &unique()).await?;
        let started = Instant::now();
        let reply = somebody.logout(&somebody.access, true).await?;
        let took = started.elapsed();
        ensure!(reply.status == StatusCode::OK, "{reply:?}");
        let reach = reply.header("x-revocation").to_owned();
        let mut accepted = 0;
        if reach == "everywhere" {
            for server in &self.servers {
                let reply = somebody.at(&server.http).info().await?;
                accepted += usize::from(reply.status != StatusCode::UNAUTHORIZED);
            }
        }
        Ok(Revoked {
            reach,
            took,
            accepted,
        })
    }

    pub(crate) fn logs(&self) -> String {
        let logs = self.sites.iter().map(|site| site.log().unwrap_or_default());
        logs.collect::<Vec<_>>().join("\n---\n")
    }
}

/// What became of a revocation.
pub(crate) struct Revoked {
    pub(crate) reach: String,
    pub(crate) took: Duration,
    /// Instances that accepted the token after `everywhere`.
    pub(crate) accepted: usize,
}

/// The median and the 99th percentile of what `count` revocations took.
async fn measured(three: &Three, count: usize) -> Result<(Duration, Duration)> {
    let mut took = Vec::new();
    for number in 0..count {
        let revoked = three.revoke(number % 3).await?;
        ensure!(revoked.reach == "everywhere", "{}", three.logs());
        ensure!(revoked.accepted == 0, "accepted after everywhere");
        took.push(revoked.took);
    }
    took.sort_unstable();
    let at = |percent: usize| took.get((took.len() - 1) * percent / 100).copied();
    Ok((at(50).context("none")?, at(99).context("none")?))
}

/// With Redis, and then with none of it by the same instances. On a machine of its own
/// (`SSO_FULL_SIZE=1`) the time itself is a promise.
#[tokio::test]
async fn with_redis_everywhere_comes_at_once_and_without_some_beats_later() -> Result<()> {
    let full = std::env::var_os("SSO_FULL_SIZE").is_some();
    let mut redis = RedisSentinel::start().await?;
    let three = Three::start("redis_quick", Some(&redis)).await?;
    let (p50, p99) = measured(&three, if full { 1_000 } else { 100 }).await?;
    for server in &three.servers {
        for (series, value) in [
            ("sso_redis_connected", 1),
            (r#"sso_redis_received_total{outcome="foreign"}"#, 0),
        ] {
            assert_eq!(server.admin.metric::<u64>(series).await?, value, "{series}");
        }
    }
    for server in redis.servers.iter_mut().chain(&mut redis.sentinels) {
        server.kill9()?;
    }
    three.have_redis("down").await?;
    let without = measured(&three, 40).await?;
    println!(
        "everywhere over three instances: p50 {p50:?}, p99 {p99:?}; without Redis p50 {:?}, \
         p99 {:?}",
        without.0, without.1
    );
    // Without, who is told last has waited for most of a beat.
    assert!(p50 < without.0 * 2 / 3, "{p50:?} of {without:?}");
    assert!(!full || p99 <= Duration::from_millis(50), "{p99:?}");
    Ok(())
}
