use sso_store_postgres::servers::{Role, Servers};
use sso_testkit::servers::{Node, Options, Pair, Proxy};

use super::*;

/// A connection to the primary on this timeline.
async fn primary_on(servers: &Servers, timeline: u32) -> Result<u16> {
    let mut found = 0;
    eventually("the new primary", async || {
        let Ok(primary) = servers.primary().await else {
            return Ok(false);
        };
        let Ok(port) = port(&primary).await else {
            primary.evict();
            return Ok(false);
        };
        found = port;
        Ok(primary.identity().role == Role::Primary { timeline })
    })
    .await?;
    Ok(found)
}

async fn promoted(pair: &Pair) -> Result<&Node> {
    let node = &pair.replicas[0].node;
    node.caught_up_with(&pair.primary).await?;
    node.promote().await?;
    Ok(node)
}

#[tokio::test]
async fn a_promoted_replica_is_followed_and_the_deposed_primary_is_never_used_again() -> Result<()>
{
    let mut pair = Pair::start().await?;
    let replica = pair.replicas[0].node.url("postgres");
    let mut settings = settings(&pair.primary.url("postgres"), &[replica])?;
    settings.acquire_timeout = Duration::from_secs(2);
    let servers = Servers::open(&settings).await?;
    let before = servers.primary().await?;
    assert_eq!(port(&before).await?, pair.primary.port());
    drop(before);
    let new = promoted(&pair).await?.port();
    // Both accept writes now.
    assert_eq!(primary_on(&servers, 2).await?, new);
    for _ in 0..50 {
        assert_eq!(port(&servers.primary().await?).await?, new);
    }
    assert_eq!(servers.timeline(), 2);
    let own = servers.dedicated().await?;
    assert_eq!(own.identity().role, Role::Primary { timeline: 2 });

    pair.replicas[0].node.kill9().await?;
    let known = servers.changes();
    eventually("the loss", async || Ok(known.borrow().is_none())).await?;
    let refused = servers.primary().await.map(|_| ());
    assert!(refused.is_err(), "the deposed primary was used");
    pair.replicas[0].node.start().await?;
    assert_eq!(primary_on(&servers, 2).await?, new);
    Ok(())
}

#[tokio::test]
async fn a_balancer_that_leads_to_another_server_is_followed_within_a_second() -> Result<()> {
    let mut pair = Pair::start().await?;
    let balancer = Proxy::start(pair.primary.address())?;
    let url = through(&pair.primary.url("postgres"), balancer.address())?;
    let servers = Servers::open(&settings(&url, &[])?).await?;
    assert_eq!(port(&servers.primary().await?).await?, pair.primary.port());
    let new = promoted(&pair).await?.address();
    pair.primary.kill9().await?;
    let waiting = {
        let servers = servers.clone();
        tokio::spawn(async move { servers.primary().await.map(|_| ()) })
    };
    balancer.cut();
    eventually("the loss", async || {
        Ok(servers.changes().borrow().is_none())
    })
    .await?;
    balancer.set_target(new);
    balancer.mend();
    let shown = Instant::now();
    assert_eq!(primary_on(&servers, 2).await?, new.port());
    assert!(
        shown.elapsed() < Duration::from_secs(1),
        "{:?}",
        shown.elapsed()
    );
    waiting.await??;
    Ok(())
}

#[tokio::test]
async fn a_balancer_that_keeps_old_connections_open_is_seen_to_lead_elsewhere() -> Result<()> {
    let pair = Pair::start().await?;
    let balancer = Proxy::start(pair.primary.address())?;
    let url = through(&pair.primary.url("postgres"), balancer.address())?;
    let servers = Servers::open(&settings(&url, &[])?).await?;
    drop(servers.primary().await?);
    let new = promoted(&pair).await?.address();
    balancer.set_target(new);
    assert_eq!(primary_on(&servers, 2).await?, new.port());
    Ok(())
}

#[tokio::test]
async fn a_primary_that_is_restarted_is_the_primary_again() -> Result<()> {
    let mut pair = Pair::with_replicas(0, &Options::new()).await?;
    let servers = Servers::open(&settings(&pair.primary.url("postgres"), &[])?).await?;
    drop(servers.primary().await?);
    pair.primary.restart().await?;
    assert_eq!(primary_on(&servers, 1).await?, pair.primary.port());
    Ok(())
}
