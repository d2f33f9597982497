use sso_store_postgres::servers::{Role, Servers};
use sso_testkit::servers::Pair;

use super::*;

async fn readable(servers: &Servers) -> Result<()> {
    eventually("a readable replica", async || {
        Ok(servers.replica().await.is_some())
    })
    .await
}

async fn left_alone(servers: &Servers) -> Result<()> {
    eventually("the replica left alone", async || {
        Ok(servers.replica().await.is_none())
    })
    .await
}

async fn pair() -> Result<(Pair, Servers, Beating)> {
    let pair = Pair::start().await?;
    let replica = pair.replicas[0].node.url("postgres");
    let servers = Servers::open(&settings(&pair.primary.url("postgres"), &[replica])?).await?;
    assert!(
        servers.replica().await.is_none(),
        "nothing is known of its lag"
    );
    let beating = Beating::start(&servers).await?;
    readable(&servers).await?;
    Ok((pair, servers, beating))
}

#[tokio::test]
async fn a_replica_is_read_once_it_shows_our_beats_and_writes_go_to_the_primary() -> Result<()> {
    let (pair, servers, _beating) = pair().await?;
    let replica = servers.replica().await.context("no replica")?;
    assert_eq!(replica.identity().role, Role::Replica);
    assert_eq!(port(&replica).await?, pair.replicas[0].node.port());
    let primary = servers.primary().await?;
    assert_eq!(primary.identity().role, Role::Primary { timeline: 1 });
    assert_eq!(port(&primary).await?, pair.primary.port());
    let own = servers.dedicated().await?;
    assert_eq!(own.identity(), primary.identity());
    Ok(())
}

#[tokio::test]
async fn a_replica_whose_replay_is_paused_is_left_alone_and_taken_back() -> Result<()> {
    let (pair, servers, _beating) = pair().await?;
    let node = &pair.replicas[0].node;
    node.pause_replay().await?;
    left_alone(&servers).await?;
    let lag = servers.lags().into_iter().find_map(|(_, lag)| lag);
    assert!(lag.is_some_and(|lag| lag > MAX_LAG), "{lag:?}");
    node.resume_replay().await?;
    readable(&servers).await
}

#[tokio::test]
async fn a_replica_that_a_frozen_walsender_feeds_is_left_alone_and_taken_back() -> Result<()> {
    let (mut pair, servers, _beating) = pair().await?;
    pair.primary.freeze_senders().await?;
    // The server itself would tell that it lags nothing.
    left_alone(&servers).await?;
    pair.primary.thaw_senders()?;
    readable(&servers).await
}

#[tokio::test]
async fn a_replica_that_hangs_or_died_is_left_alone_and_taken_back() -> Result<()> {
    let (mut pair, servers, _beating) = pair().await?;
    pair.replicas[0].node.freeze()?;
    left_alone(&servers).await?;
    pair.replicas[0].node.thaw()?;
    readable(&servers).await?;
    pair.replicas[0].node.kill9().await?;
    left_alone(&servers).await?;
    let start = Instant::now();
    servers.primary().await?;
    assert!(start.elapsed() < Duration::from_secs(1));
    pair.replicas[0].node.start().await?;
    readable(&servers).await
}

#[tokio::test]
async fn reads_are_spread_over_the_replicas_and_several_hosts_of_one_url_will_do() -> Result<()> {
    let pair = Pair::with_replicas(2, &sso_testkit::servers::Options::new()).await?;
    let ports = [pair.replicas[0].node.port(), pair.replicas[1].node.port()];
    let hosts = format!(
        "127.0.0.1:{},127.0.0.1:{},127.0.0.1:{}/",
        ports[0],
        pair.primary.port(),
        ports[1]
    );
    let url = pair.primary.url("postgres");
    let (user, _) = url.rsplit_once('@').context("no user")?;
    let url = format!("{user}@{hosts}postgres");
    let servers = Servers::open(&settings(&url, &[])?).await?;
    assert_eq!(port(&servers.primary().await?).await?, pair.primary.port());
    let _beating = Beating::start(&servers).await?;
    for wanted in ports {
        eventually("reads of each replica", async || {
            let Some(replica) = servers.replica().await else {
                return Ok(false);
            };
            Ok(port(&replica).await? == wanted)
        })
        .await?;
    }
    Ok(())
}
