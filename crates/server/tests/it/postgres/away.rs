//! The primary is away for longer than a lease.
//!
//! Seen red: with a validation that asks the database when the lease is over (0.9 statements more a
//! token).

#![expect(clippy::print_stdout, reason = "figures, for who asks for them")]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::ensure;
use http::StatusCode;
use serde_json::{Value, json};
use sso_testkit::{
    persona::Persona,
    servers::{Options, Postgres, Proxy},
};
use tokio_postgres::NoTls;

use super::{
    cluster::{BOUND, Instance, LEASE, full_size, instance},
    *,
};
use crate::support::{eventually_within, rounds, unique};

const LONG: Duration = Duration::from_mins(1);
/// `database.max_waiting` of these instances.
const WAITING: f64 = 16.0;
const MIB: u64 = 1024 * 1024;
/// That come when the lease is over.
const TOKENS: usize = 1_000;

/// What grows when something is kept for each request.
#[derive(Debug, Clone, Copy)]
struct Held {
    memory: u64,
    connections: f64,
    waiting: f64,
}

impl Held {
    async fn by(at: &Instance, address: std::net::SocketAddr) -> Result<Self> {
        let series = |state: &str| {
            format!("sso_store_connections{{server=\"{address}\",state=\"{state}\"}}")
        };
        Ok(Self {
            memory: at.server.resident_bytes()?,
            connections: at.server.admin.metric::<f64>(&series("used")).await?
                + at.server.admin.metric::<f64>(&series("idle")).await?,
            waiting: at.server.admin.metric::<f64>("sso_store_waiting").await?,
        })
    }

    /// Nothing has piled up since `before`.
    fn is_bounded(self, before: Self) -> Result<()> {
        ensure!(
            self.memory < before.memory + 24 * MIB
                && self.connections <= 16.0
                && self.waiting <= WAITING,
            "{before:?} {self:?}"
        );
        Ok(())
    }
}

/// Everything of `alice` that needs the primary is refused in time.
async fn is_refused(at: &Instance, alice: &Persona) -> Result<()> {
    let new = json!({ "email": format!("{}@example.com", unique()), "password": "a long secret" });
    let start = Instant::now();
    let (login, registration, refresh) = tokio::join!(
        alice.try_login(&alice.password),
        at.server.http.post("/auth/registration", &new),
        alice.use_refresh_token(&alice.refresh),
    );
    for reply in [login?, registration?, refresh?] {
        ensure!(reply.status == StatusCode::SERVICE_UNAVAILABLE, "{reply:?}");
        let later: u64 = reply.header("retry-after").parse()?;
        ensure!(later >= 1, "{reply:?}");
    }
    let took = start.elapsed();
    ensure!(took < Duration::from_secs(9), "refused after {took:?}");
    Ok(())
}

/// What needs no database goes on.
async fn goes_on(at: &Instance) -> Result<()> {
    for path in ["/.well-known/jwks.json", "/auth/healthz"] {
        let start = Instant::now();
        let reply = at.server.http.get(path, None).await?;
        ensure!(reply.status == StatusCode::OK, "{path}: {reply:?}");
        let took = start.elapsed();
        ensure!(took < Duration::from_secs(1), "{path} took {took:?}");
    }
    Ok(())
}

/// How it goes away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    /// The network is cut.
    Cut,
    /// kill -9.
    Killed,
}

struct Scene {
    how: How,
    server: Postgres,
    network: Proxy,
    at: Instance,
    alice: Persona,
}

impl Scene {
    async fn set(how: How) -> Result<Self> {
        let server = Postgres::start().await?;
        let url = server.database("away").await?;
        let network = Proxy::start(server.node.address())?;
        let mut site = instance(&through(&url, network.address())?, &[])?;
        site.unset("SSO__DATABASE__REPLICAS")
            .set("SSO__DATABASE__ACQUIRE_TIMEOUT", "1s")
            .set("SSO__DATABASE__MAX_WAITING", WAITING);
        site.run_ok(&["migrate", "up"])?;
        let at = Instance::start(site).await?;
        let alice = Persona::register(&at.server.http, "alice").await?;
        Ok(Self {
            how,
            server,
            network,
            at,
            alice,
        })
    }

    async fn go(&mut self) -> Result<()> {
        match self.how {
            How::Cut => self.network.cut(),
            How::Killed => self.server.node.kill9().await?,
        }
        Ok(())
    }

    async fn come_back(&mut self) -> Result<()> {
        match self.how {
            How::Cut => self.network.mend(),
            How::Killed => self.server.node.start().await?,
        }
        Ok(())
    }

    async fn held(&self) -> Result<Held> {
        Held::by(&self.at, self.network.address()).await
    }

    /// Many sign in at once; who may is told by `status`.
    async fn crowd(&self, status: Option<StatusCode>) -> Result<()> {
        rounds(64, 64, |_| {
            let alice = self.alice.clone();
            async move {
                let reply = alice.try_login(&alice.password).await?;
                ensure!(status.is_none_or(|one| one == reply.status), "{reply:?}");
                Ok(())
            }
        })
        .await
    }

    /// Connections that are tried in a second, while so many tokens come.
    async fn asked(&self, seconds: f64, tokens: usize) -> Result<f64> {
        let (before, start) = (self.network.connected(), Instant::now());
        for _ in 0..tokens {
            let reply = self.at.validate(&self.alice.access).await?;
            ensure!(reply.status == StatusCode::SERVICE_UNAVAILABLE, "{reply:?}");
        }
        tokio::time::sleep_until((start + Duration::from_secs_f64(seconds)).into()).await;
        #[expect(clippy::cast_precision_loss, reason = "a few hundred")]
        let asked = (self.network.connected() - before) as f64;
        Ok(asked / start.elapsed().as_secs_f64())
    }

    /// Within the lease as always, and then not at all.
    async fn lease_ends(&self, since: Instant) -> Result<()> {
        let reply = self.at.validate(&self.alice.access).await?;
        ensure!(
            reply.status == StatusCode::OK,
            "within the lease: {reply:?}"
        );
        is_refused(&self.at, &self.alice).await?;
        eventually_within(BOUND * 2, "the end of the lease", async || {
            let reply = self.at.validate(&self.alice.access).await?;
            ensure!(reply.status != StatusCode::UNAUTHORIZED, "{reply:?}");
            Ok(reply.status == StatusCode::SERVICE_UNAVAILABLE)
        })
        .await?;
        let lasted = since.elapsed();
        ensure!(lasted > LEASE / 2, "the lease lasted {lasted:?}");
        // As many questions with a thousand tokens as with none.
        let (idle, busy) = (self.asked(1.5, 0).await?, self.asked(1.5, TOKENS).await?);
        println!(
            "{idle:.0} connections a second were tried while idle, {busy:.0} with 1,000 tokens"
        );
        // The beat's, the keys', the relay's and the prober's.
        ensure!(idle < 60.0 && busy < 60.0, "{idle} {busy}");
        Ok(())
    }

    async fn all_is_well(&self) -> Result<()> {
        eventually_within(LONG, "validation and logins", async || {
            let valid = self.at.validate(&self.alice.access).await?.status == StatusCode::OK;
            let login = self.alice.try_login(&self.alice.password).await?;
            Ok(valid && login.status == StatusCode::OK)
        })
        .await?;
        Persona::register(&self.at.server.http, "bob").await?;
        eventually_within(LONG, "readiness", async || {
            let ready = self.at.server.http.get("/auth/ready", None).await?;
            Ok(ready.json()["state"] == "ready" && self.health().await? == "SERVING")
        })
        .await
    }

    /// As gRPC tells it.
    async fn health(&self) -> Result<Value> {
        let grpc = self.at.server.grpc_json();
        let asked = json!({ "service": "auth.Auth" });
        let reply = grpc.post("/grpc.health.v1.Health/Check", &asked).await?;
        Ok(reply.json()["status"].clone())
    }
}

/// For 60 s, or in CI for as long as it takes.
async fn goes_away(how: How) -> Result<()> {
    let mut scene = Scene::set(how).await?;
    // As much as it ever needs.
    scene.crowd(None).await?;
    let before = scene.held().await?;

    scene.go().await?;
    let since = Instant::now();
    let away = Duration::from_secs(if full_size() { 60 } else { 8 });
    scene.lease_ends(since).await?;
    let mut most = before;
    while since.elapsed() < away {
        let (crowd, meanwhile) = tokio::join!(
            scene.crowd(Some(StatusCode::SERVICE_UNAVAILABLE)),
            scene.held()
        );
        crowd?;
        meanwhile?.is_bounded(before)?;
        is_refused(&scene.at, &scene.alice).await?;
        goes_on(&scene.at).await?;
        most.memory = most.memory.max(scene.held().await?.memory);
    }
    let ready = scene.at.server.http.get("/auth/ready", None).await?;
    ensure!(ready.status == StatusCode::SERVICE_UNAVAILABLE, "{ready:?}");
    ensure!(scene.health().await? == "NOT_SERVING");

    scene.come_back().await?;
    scene.all_is_well().await?;
    let after = scene.held().await?;
    println!("before {before:?}, meanwhile {most:?}, after {after:?}");
    after.is_bounded(before)?;
    ensure!(after.waiting == 0.0, "{after:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_primary_tokens_are_validated_for_the_lease_and_nothing_piles_up() -> Result<()> {
    goes_away(How::Cut).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_primary_is_killed_the_same_holds_and_its_return_is_enough() -> Result<()> {
    goes_away(How::Killed).await
}

/// So many since `start`.
fn per_second(count: usize, start: Instant) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
    let count = count as f64;
    count / start.elapsed().as_secs_f64()
}

/// The server is there, and answers no beat.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_asks_the_database_nothing_when_the_lease_is_over() -> Result<()> {
    let server = Options::new().setting("log_statement", "all");
    let server = server.start().await?;
    let mut site = instance(&server.url(), &[])?;
    site.unset("SSO__DATABASE__REPLICAS");
    site.run_ok(&["migrate", "up"])?;
    let at = Instance::start(site).await?;
    let alice = Persona::register(&at.server.http, "alice").await?;
    let (mut holder, connection) = tokio_postgres::connect(&server.url(), NoTls).await?;
    tokio::spawn(connection);
    let held = holder.transaction().await?;
    held.batch_execute("lock table readers in access exclusive mode")
        .await?;
    eventually_within(LONG, "the end of the lease", async || {
        let reply = at.validate(&alice.access).await?;
        Ok(reply.status == StatusCode::SERVICE_UNAVAILABLE)
    })
    .await?;
    let statements = || -> Result<usize> {
        let log = server.node.log_text()?;
        let of_statement =
            |line: &&str| line.contains(" LOG:  execute ") || line.contains(" LOG:  statement: ");
        Ok(log.lines().filter(of_statement).count())
    };
    // What goes on by itself, each second.
    let (before, start) = (statements()?, Instant::now());
    tokio::time::sleep(Duration::from_secs(2)).await;
    let idle = per_second(statements()? - before, start);
    let (before, start) = (statements()?, Instant::now());
    let at = Arc::new(at);
    rounds(TOKENS, 16, |_| {
        let (at, token) = (Arc::clone(&at), alice.access.clone());
        async move {
            let reply = at.validate(&token).await?;
            ensure!(reply.status == StatusCode::SERVICE_UNAVAILABLE, "{reply:?}");
            Ok(())
        }
    })
    .await?;
    let (asked, took) = (statements()? - before, start.elapsed());
    let more = per_second(asked, start) - idle;
    println!("{idle:.0} statements a second while idle, {more:.0} more in {took:?} with tokens");
    ensure!(
        more < per_second(TOKENS, start) / 4.0,
        "{idle} {more} {took:?}"
    );
    held.rollback().await?;
    eventually_within(LONG, "validation", async || {
        Ok(at.validate(&alice.access).await?.status == StatusCode::OK)
    })
    .await
}
