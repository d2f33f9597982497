//! Whom it is connected to.

use std::time::{Duration, Instant};

use anyhow::Result;
use sso_redis::Status;
use sso_testkit::servers::{Redis as Server, RedisSentinel};

use crate::support::{address, eventually, follow, is_up, one, sentinels};

#[tokio::test]
async fn one_that_dies_or_hangs_is_given_up_and_found_again() -> Result<()> {
    let mut redis = Server::start().await?;
    let (client, _guard) = follow(one(redis.server.address())).await?;
    redis.server.kill9()?;
    eventually("the loss", async || Ok(!is_up(&client))).await?;
    redis.server.start().await?;
    eventually("the return", async || Ok(is_up(&client))).await?;
    redis.server.freeze()?;
    eventually("the loss", async || Ok(!is_up(&client))).await?;
    redis.server.thaw()?;
    eventually("the return", async || Ok(is_up(&client))).await
}

#[tokio::test]
async fn failovers_are_followed_and_a_deposed_master_is_left_for_good() -> Result<()> {
    let mut cluster = RedisSentinel::start().await?;
    let (client, _guard) = follow(sentinels(&cluster)).await?;
    let at = |cluster: &RedisSentinel, number: usize| {
        Status::Up(address(cluster.servers[number].address()))
    };

    let first = cluster.master().await?;
    assert_eq!(client.status(), at(&cluster, first));
    cluster.servers[first].kill9()?;
    let second = cluster.master_after(first).await?;
    let there = at(&cluster, second);
    eventually("the second master", async || Ok(client.status() == there)).await?;
    cluster.servers[first].start().await?;
    cluster.ready().await?;

    let third = cluster.failover().await?;
    let there = at(&cluster, third);
    eventually("the third master", async || Ok(client.status() == there)).await?;
    cluster.ready().await?;

    // Two masters: he that was frozen calls himself one for ten seconds.
    cluster.servers[third].freeze()?;
    let fourth = cluster.master_after(third).await?;
    let there = at(&cluster, fourth);
    eventually("the fourth master", async || Ok(client.status() == there)).await?;
    cluster.servers[third].thaw()?;
    let deposed = at(&cluster, third);
    let since = Instant::now();
    let mut claimed = false;
    while since.elapsed() < Duration::from_secs(4) {
        assert_ne!(client.status(), deposed, "stayed with a deposed master");
        claimed |= cluster.servers[third].info("replication", "role").await? == "master";
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(claimed, "there were never two masters");
    assert_eq!(client.status(), there);
    Ok(())
}

#[tokio::test]
async fn one_sentinel_is_enough() -> Result<()> {
    let mut cluster = RedisSentinel::start().await?;
    cluster.sentinels[0].kill9()?;
    cluster.sentinels[1].freeze()?;
    let (client, _guard) = follow(sentinels(&cluster)).await?;
    assert!(is_up(&client));
    Ok(())
}
