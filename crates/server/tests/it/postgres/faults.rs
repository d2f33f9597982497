//! The primary goes away and comes back, or another takes over.

use std::time::{Duration, Instant};

use anyhow::ensure;
use http::StatusCode;
use sso_testkit::{
    persona::Persona,
    servers::{Pair, Postgres, Proxy},
};

use super::*;
use crate::support::eventually_within;

const LONG: Duration = Duration::from_secs(30);

#[tokio::test]
async fn while_the_primary_is_away_writes_are_refused_in_time_and_come_back_by_themselves()
-> Result<()> {
    let server = Postgres::shared().await?;
    let url = server.database("faults_away").await?;
    let network = Proxy::start(server.node.address())?;
    let mut site = on(&through(&url, network.address())?)?;
    site.set("SSO__DATABASE__ACQUIRE_TIMEOUT", "1s");
    let serving = site.serve().await?;
    let mut alice = Persona::register(&serving.http, "alice").await?;
    for freeze in [false, true] {
        if freeze {
            network.freeze();
        } else {
            network.cut();
        }
        let start = Instant::now();
        let refused = alice.login().await?;
        ensure!(
            refused.status == StatusCode::SERVICE_UNAVAILABLE,
            "{refused:?}"
        );
        ensure!(!refused.header("retry-after").is_empty(), "{refused:?}");
        ensure!(
            start.elapsed() < Duration::from_secs(9),
            "{:?}",
            start.elapsed()
        );
        // Within the lease.
        let jwks = serving.http.get("/.well-known/jwks.json", None).await?;
        assert_eq!(jwks.status, StatusCode::OK);
        network.mend();
        eventually_within(LONG, "logins", async || {
            Ok(alice.try_login(&alice.password).await?.status == StatusCode::OK)
        })
        .await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_failover_is_followed_by_who_knows_the_servers_addresses() -> Result<()> {
    let mut pair = Pair::start().await?;
    let mut site = on(&pair.primary.url("postgres"))?;
    let new = pair.replicas[0].node.url("postgres");
    site.set("SSO__DATABASE__REPLICAS", new)
        .set("SSO__REVOCATION__LEASE", "3s");
    let serving = site.serve().await?;
    let mut alice = Persona::register(&serving.http, "alice").await?;
    let metric = async |series: &str| serving.admin.metric::<u64>(series).await;
    pair.replicas[0].node.caught_up_with(&pair.primary).await?;
    pair.primary.kill9().await?;
    pair.replicas[0].node.promote().await?;
    eventually_within(LONG, "logins", async || {
        Ok(alice.try_login(&alice.password).await?.status == StatusCode::OK)
    })
    .await?;
    assert_eq!(alice.refresh().await?.status, StatusCode::OK);
    let bob = Persona::register(&serving.http, "bob").await?;
    assert_eq!(bob.info().await?.status, StatusCode::OK);
    assert_eq!(metric("sso_store_failovers_total").await?, 1);
    eventually_within(LONG, "the new timeline", async || {
        Ok(metric("sso_store_timeline").await? == 2)
    })
    .await?;
    Ok(())
}
