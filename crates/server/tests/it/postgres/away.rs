//! The primary is away for longer than a lease.

use std::time::{Duration, Instant};

use anyhow::ensure;
use http::StatusCode;
use serde_json::json;
use sso_testkit::{
    persona::Persona,
    servers::{Postgres, Proxy},
};

use super::{
    cluster::{BOUND, Instance, LEASE, full_size, instance},
    *,
};
use crate::support::{eventually_within, rounds, unique};

const LONG: Duration = Duration::from_secs(20);
const MIB: u64 = 1024 * 1024;

/// What grows when something is kept for each request.
async fn held(at: &Instance, address: std::net::SocketAddr) -> Result<(u64, f64, f64)> {
    let series =
        |state: &str| format!("sso_store_connections{{server=\"{address}\",state=\"{state}\"}}");
    let connections = at.metric(&series("used")).await? + at.metric(&series("idle")).await?;
    let waiting = at.metric("sso_store_waiting").await?;
    Ok((at.server.resident_bytes()?, connections, waiting))
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_primary_tokens_are_validated_for_the_lease_and_nothing_piles_up() -> Result<()> {
    let server = Postgres::start().await?;
    let url = server.database("away").await?;
    let network = Proxy::start(server.node.address())?;
    let mut site = instance(&through(&url, network.address())?, &[])?;
    site.unset("SSO__DATABASE__REPLICAS")
        .set("SSO__DATABASE__ACQUIRE_TIMEOUT", "1s")
        .set("SSO__DATABASE__MAX_WAITING", 16);
    site.run_ok(&["migrate", "up"])?;
    let at = Instance::start(site).await?;
    let alice = Persona::register(&at.server.http, "alice").await?;
    // As much as it ever needs.
    rounds(60, 30, |_| {
        let alice = alice.clone();
        async move {
            alice.try_login(&alice.password).await?;
            Ok(())
        }
    })
    .await?;
    let before = held(&at, network.address()).await?;

    network.cut();
    let since = Instant::now();
    let away = Duration::from_secs(if full_size() { 60 } else { 8 });
    let reply = at.validate(&alice.access).await?;
    ensure!(
        reply.status == StatusCode::OK,
        "within the lease: {reply:?}"
    );
    is_refused(&at, &alice).await?;
    eventually_within(BOUND, "the end of the lease", async || {
        let reply = at.validate(&alice.access).await?;
        ensure!(reply.status != StatusCode::UNAUTHORIZED, "{reply:?}");
        Ok(reply.status == StatusCode::SERVICE_UNAVAILABLE)
    })
    .await?;
    let lasted = since.elapsed();
    ensure!(lasted > LEASE / 2, "the lease lasted {lasted:?}");

    // As many questions with a thousand tokens as with none.
    let asked = async |seconds: f64, tokens: usize| -> Result<f64> {
        let (before, start) = (network.connected(), Instant::now());
        for _ in 0..tokens {
            let reply = at.validate(&alice.access).await?;
            ensure!(reply.status == StatusCode::SERVICE_UNAVAILABLE, "{reply:?}");
        }
        tokio::time::sleep_until((start + Duration::from_secs_f64(seconds)).into()).await;
        #[expect(clippy::cast_precision_loss, reason = "a few hundred")]
        let asked = (network.connected() - before) as f64;
        Ok(asked / start.elapsed().as_secs_f64())
    };
    let (idle, busy) = (asked(1.5, 0).await?, asked(1.5, 1_000).await?);
    println!("{idle:.0} connections a second were tried while idle, {busy:.0} with 1,000 tokens");
    // The beat's, the keys', the relay's and the prober's.
    ensure!(idle < 60.0 && busy < 60.0, "{idle} {busy}");

    while since.elapsed() < away {
        rounds(64, 64, |_| {
            let alice = alice.clone();
            async move {
                let reply = alice.try_login(&alice.password).await?;
                ensure!(reply.status == StatusCode::SERVICE_UNAVAILABLE, "{reply:?}");
                Ok(())
            }
        })
        .await?;
        is_refused(&at, &alice).await?;
        goes_on(&at).await?;
    }
    let ready = at.server.http.get("/auth/ready", None).await?;
    ensure!(ready.status == StatusCode::SERVICE_UNAVAILABLE, "{ready:?}");

    network.mend();
    eventually_within(LONG, "validation and logins", async || {
        let valid = at.validate(&alice.access).await?.status == StatusCode::OK;
        Ok(valid && alice.try_login(&alice.password).await?.status == StatusCode::OK)
    })
    .await?;
    Persona::register(&at.server.http, "bob").await?;
    eventually_within(LONG, "readiness", async || {
        let ready = at.server.http.get("/auth/ready", None).await?;
        Ok(ready.json()["state"] == "ready")
    })
    .await?;
    let after = held(&at, network.address()).await?;
    println!("before {before:?}, after {after:?}");
    ensure!(after.0 < before.0 + 24 * MIB, "{before:?} {after:?}");
    ensure!(after.1 <= 16.0 && after.2 == 0.0, "{before:?} {after:?}");
    Ok(())
}
