//! Revocations with three instances, whose stream is in Redis.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use hdrhistogram::Histogram;
use sso_testkit::{
    http::Http,
    persona::Persona,
    process::{Server, Site},
    servers::{
        RedisSentinel,
        redis::{PASSWORD, SENTINEL_PASSWORD},
    },
};

use super::{Place, site};
use crate::{
    Plan,
    load::{Ask, closed_loop, float},
    report::{Report, Series},
};

const INSTANCES: usize = 3;
const CLIENTS: usize = 16;
/// Answers come early only when an instance has run for longer than that.
const LEASE: Duration = Duration::from_secs(4);

/// One at a time, then many at once; what stands in Redis after that.
pub(crate) async fn measure(plan: &Plan, report: &mut Report) -> Result<()> {
    let place = Place::start().await?;
    let redis = RedisSentinel::start().await?;
    let database = place.server.database("everywhere").await?;
    let sites: Vec<_> = (0..INSTANCES)
        .map(|_| with(plan, &database, &redis))
        .collect::<Result<_>>()?;
    sites[0].run_ok(&["migrate", "up"])?;
    let mut servers = Vec::new();
    for site in &sites {
        servers.push(site.serve().await?);
    }
    tokio::time::sleep(LEASE * 3 / 2).await;
    let mut users = Vec::new();
    for number in 0..CLIENTS {
        users.push(Persona::register(&servers[0].http, &format!("user{number}")).await?);
    }
    let (mut p50, mut p99) = (Series::default(), Series::default());
    let (mut rate, mut busy, mut pending) =
        (Series::default(), Series::default(), Series::default());
    for counts in plan.turns() {
        let quiet = revoke(plan, &servers, &users[..1]).await?;
        let many = revoke(plan, &servers, &users).await?;
        if counts {
            p50.push(quiet.millis(0.5));
            p99.push(quiet.millis(0.99));
            rate.push(many.rate);
            busy.push(many.millis(0.99));
            pending.push(many.pending);
        }
    }
    report.figure("three instances: everywhere, p50", "ms", &p50);
    report.goal("three instances: everywhere, p99", "ms", "<= 50", &p99);
    let what = "three instances: a login and a revocation each, 16 clients";
    report.figure(what, "1/s", &rate);
    let what = "three instances: everywhere, p99 with 16 clients";
    report.figure(what, "ms", &busy);
    report.figure("three instances: pending", "ratio", &pending);
    in_redis(report, &redis).await
}

fn with(plan: &Plan, database: &str, redis: &RedisSentinel) -> Result<Site> {
    let mut site = site(plan, database)?;
    let sentinels = redis.sentinel_addresses();
    let sentinels: Vec<_> = sentinels.iter().map(ToString::to_string).collect();
    site.set("SSO__REDIS__SENTINELS", sentinels.join(","))
        .set("SSO__REDIS__MASTER_NAME", RedisSentinel::MASTER_NAME)
        .set("SSO__REDIS__PASSWORD", PASSWORD)
        .set("SSO__REDIS__SENTINEL_PASSWORD", SENTINEL_PASSWORD)
        .set("SSO__REVOCATION__LEASE", format!("{}s", LEASE.as_secs()))
        .set("SSO__REVOCATION__FENCE", "0s")
        .set("SSO__PASSWORDS__ARGON2_MEMORY", 8)
        .set("SSO__PASSWORDS__ARGON2_ITERATIONS", 1);
    Ok(site)
}

/// What revocations took.
struct Revoked {
    rate: f64,
    /// Of all.
    pending: f64,
    took: Histogram<u64>,
}

impl Revoked {
    fn millis(&self, quantile: f64) -> f64 {
        float(self.took.value_at_quantile(quantile)) / 1000.0
    }
}

type Took = Arc<Mutex<(Histogram<u64>, u64)>>;

async fn revoke(plan: &Plan, servers: &[Server], users: &[Persona]) -> Result<Revoked> {
    let took: Took = Arc::new(Mutex::new((Histogram::new(3)?, 0)));
    let outcome = closed_loop(users.len(), plan.run, servers[0].pid(), |number| Ending {
        instances: servers.iter().map(|server| server.http.clone()).collect(),
        user: users[number].clone(),
        next: number,
        took: Arc::clone(&took),
    });
    let outcome = outcome.await?;
    let (took, pending) = took.lock().unwrap_or_else(PoisonError::into_inner).clone();
    Ok(Revoked {
        rate: outcome.rate,
        pending: float(pending) / float(took.len().max(1)),
        took,
    })
}

/// Opens a session by one instance and ends it by the next.
struct Ending {
    instances: Vec<Http>,
    user: Persona,
    next: usize,
    took: Took,
}

impl Ending {
    fn instance(&mut self) -> Http {
        self.next += 1;
        self.instances[self.next % self.instances.len()].clone()
    }
}

impl Ask for Ending {
    async fn ask(&mut self) -> Result<()> {
        let at = self.instance();
        let mut there = self.user.at(&at);
        let reply = there.login().await?;
        ensure!(reply.status == 200, "{reply:?}");
        let there = there.at(&self.instance());
        let sent = Instant::now();
        let reply = there.logout(&there.access, false).await?;
        ensure!(reply.status == 200, "{reply:?}");
        let micros = u64::try_from(sent.elapsed().as_micros())?;
        let mut took = self.took.lock().unwrap_or_else(PoisonError::into_inner);
        took.0.record(micros)?;
        took.1 += u64::from(reply.header("x-revocation") != "everywhere");
        Ok(())
    }
}

async fn in_redis(report: &mut Report, redis: &RedisSentinel) -> Result<()> {
    let master = &redis.servers[redis.master().await?];
    let stream = "sso:revocations";
    let number = async |words: &[&str]| -> Result<f64> {
        let said = master.command(words).await?;
        said.trim().parse().with_context(|| said.clone())
    };
    let entries = number(&["xlen", stream]).await?;
    let usage = ["memory", "usage", stream, "samples", "0"];
    let mut each = Series::default();
    each.push(number(&usage).await? / entries.max(1.0));
    report.figure("a revocation in Redis", "bytes", &each);
    report.note("revocations in Redis", entries.to_string());
    Ok(())
}
