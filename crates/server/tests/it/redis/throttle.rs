//! Failed logins that three instances count as one.

use super::*;
use crate::throttle::from;

async fn status(owner: &Persona, server: &Server, network: u8, password: &str) -> Result<u16> {
    let there = owner.at(&from(&server.http, network));
    Ok(there.try_login(password).await?.status.as_u16())
}

/// Attempts to log in, by where they were counted.
async fn counted(server: &Server, place: &str) -> Result<u64> {
    let series = format!(r#"sso_throttle_attempts_total{{place="{place}"}}"#);
    server.admin.metric(&series).await
}

/// A busy machine is no Redis that is away: who waits for it too long counts alone for a second.
fn patient(database: &str, redis: Option<&RedisSentinel>) -> Result<Site> {
    let mut site = on(database, redis)?;
    site.set("SSO__REDIS__THROTTLE_TIMEOUT", "1s");
    Ok(site)
}

#[tokio::test]
async fn failed_logins_over_three_instances_are_one_row_through_a_failover() -> Result<()> {
    let mut redis = RedisSentinel::start().await?;
    let three = Three::start_with("redis_throttle", Some(&redis), patient).await?;
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

    let mut shared = 0;
    for server in &three.servers {
        shared += counted(server, "shared").await?;
    }
    assert!(shared >= 11, "{shared} attempts were counted together");

    // Neither a lock-out nor a new beginning: what an instance counted itself is the least.
    let master = redis.master().await?;
    redis.servers[master].kill9()?;
    redis.master_after(master).await?;
    redis.servers[master].start().await?;
    redis.ready().await?;
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
        assert_eq!(server.admin.metric::<u64>("sso_throttle_shared").await?, 0);
        assert!(counted(server, "local").await? > 0);
    }
    Ok(())
}
