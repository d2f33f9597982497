//! Failed logins that three instances count as one.

use super::*;
use crate::throttle::from;

async fn status(owner: &Persona, server: &Server, network: u8, password: &str) -> Result<u16> {
    let there = owner.at(&from(&server.http, network));
    Ok(there.try_login(password).await?.status.as_u16())
}

#[tokio::test]
async fn failed_logins_over_three_instances_are_one_row_through_a_failover() -> Result<()> {
    let mut redis = RedisSentinel::start().await?;
    let three = Three::start("redis_throttle", Some(&redis)).await?;
    let owner = Persona::register(&from(&three.servers[0].http, 1), &unique()).await?;
    for number in 0..5 {
        let server = &three.servers[number % 3];
        assert_eq!(
            status(&owner, server, 2, "not the secret").await?,
            401,
            "{number}"
        );
    }
    for server in &three.servers {
        assert_eq!(status(&owner, server, 2, "not the secret").await?, 429);
        assert_eq!(status(&owner, server, 1, &owner.password).await?, 200);
    }

    // Neither a lock-out nor a new beginning: what an instance counted itself is the least.
    let master = redis.master().await?;
    redis.servers[master].kill9()?;
    redis.master_after(master).await?;
    three.have_redis("up").await?;
    redis.flushall().await?;
    for number in 0..5 {
        let server = &three.servers[0];
        assert_eq!(
            status(&owner, server, 3, "not the secret").await?,
            401,
            "{number}"
        );
    }
    redis.flushall().await?;
    for server in &three.servers {
        assert_eq!(status(&owner, server, 3, "not the secret").await?, 429);
        assert_eq!(status(&owner, server, 1, &owner.password).await?, 200);
    }

    // All of it away: each counts alone, and says so.
    for server in redis.servers.iter_mut().chain(&mut redis.sentinels) {
        server.kill9()?;
    }
    three.have_redis("down").await?;
    for server in &three.servers {
        assert_eq!(status(&owner, server, 1, &owner.password).await?, 200);
        assert!(crate::kafka::metric(server, "sso_throttle_shared 0").await?);
    }
    Ok(())
}
