//! What these tests share.

use std::{
    collections::hash_map::DefaultHasher,
    hash::Hasher,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Result;
use async_trait::async_trait;
use sso_core::ports::Clock;
use sso_redis::{Access, Address, Digest, Redis, Secret, Settings, Status, Target};
use sso_testkit::servers::{
    RedisSentinel,
    redis::{PASSWORD, SENTINEL_PASSWORD},
};
use time::OffsetDateTime;
use tokio_util::sync::{CancellationToken, DropGuard};

pub(crate) use sso_testkit::patience::eventually;

pub(crate) fn address(of: SocketAddr) -> Address {
    Address {
        host: of.ip().to_string(),
        port: of.port(),
    }
}

fn access(password: &str) -> Access {
    Access {
        username: None,
        password: Some(Secret::new(password)),
    }
}

pub(crate) fn of(target: Target) -> Settings {
    Settings {
        target,
        access: access(PASSWORD),
        sentinel_access: access(SENTINEL_PASSWORD),
        database: 0,
        tls: None,
        connect_timeout: Duration::from_secs(1),
        command_timeout: Duration::from_millis(500),
    }
}

pub(crate) fn one(at: SocketAddr) -> Settings {
    of(Target::One(address(at)))
}

pub(crate) fn sentinels(cluster: &RedisSentinel) -> Settings {
    of(Target::Sentinels {
        addresses: cluster
            .sentinel_addresses()
            .into_iter()
            .map(address)
            .collect(),
        master_name: RedisSentinel::MASTER_NAME.to_owned(),
    })
}

/// Follows until the guard is dropped.
pub(crate) async fn follow(settings: Settings) -> Result<(Redis, DropGuard)> {
    let redis = Redis::new(settings)?;
    let stop = CancellationToken::new();
    let (follower, ends) = (redis.clone(), stop.clone());
    tokio::spawn(async move { follower.follow(ends).await });
    eventually("a connection", async || Ok(is_up(&redis))).await?;
    Ok((redis, stop.drop_guard()))
}

pub(crate) fn is_up(redis: &Redis) -> bool {
    matches!(redis.status(), Status::Up(_))
}

/// Nobody can make it without the key, as far as these tests go.
pub(crate) fn digest(key: u8) -> Digest {
    Arc::new(move |bytes| {
        let half = |salt| {
            let mut hasher = DefaultHasher::new();
            hasher.write_u8(key);
            hasher.write_u8(salt);
            hasher.write(bytes);
            u128::from(hasher.finish())
        };
        ((half(0) << 64) | half(1)).to_be_bytes()
    })
}

/// The runtime's clock.
pub(crate) struct RealClock(Instant);

impl RealClock {
    pub(crate) fn new() -> Arc<Self> {
        // Not 0: ages reach back before the start.
        Arc::new(Self(Instant::now()))
    }
}

#[async_trait]
impl Clock for RealClock {
    fn now(&self) -> OffsetDateTime {
        OffsetDateTime::UNIX_EPOCH + self.monotonic()
    }

    fn monotonic(&self) -> Duration {
        Duration::from_hours(100) + self.0.elapsed()
    }

    async fn sleep_until(&self, until: Duration) {
        tokio::time::sleep(until.saturating_sub(self.monotonic())).await;
    }
}
