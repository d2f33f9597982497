//! Redis: what hastens revocations, and what counts for all instances.

use std::{sync::Arc, time::Duration};

use sso_core::{
    ports::{Announcements, Clock, Random, Throttle, store::Revocation},
    throttle::LocalThrottle,
};
use sso_crypto::{MasterKey, SharedDigest};
use sso_redis::{
    Access, Address, Digest, Redis, RevocationStream, Secret, Settings, SettingsError,
    SharedThrottle, SharedThrottleSettings, Status, StreamSettings, Target, Tls,
};

use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use super::block_on;
use crate::{
    config::{Config, Credential, section},
    exit::{Exit, Failed},
};

/// How much longer than an access token an entry of the stream is kept: what clocks may differ.
const MARGIN: Duration = Duration::from_mins(1);

/// What a server does with Redis.
pub(crate) struct Helpers {
    /// The connection.
    pub(crate) redis: Redis,
    /// Tells others of revocations, and hears from them.
    pub(crate) stream: Arc<RevocationStream>,
    /// If attempts are throttled.
    pub(crate) throttle: Option<Arc<SharedThrottle>>,
}

/// `None` if there is no Redis. Connects to nothing.
pub(super) fn helpers(config: &Config, master: &MasterKey) -> Result<Option<Helpers>, Failed> {
    if !config.redis.is_used() {
        return Ok(None);
    }
    let redis = redis(&config.redis).map_err(|error| of_settings(&error))?;
    let stream = Arc::new(stream(config, &redis, master));
    Ok(Some(Helpers {
        redis,
        stream,
        throttle: None,
    }))
}

fn stream(config: &Config, redis: &Redis, master: &MasterKey) -> RevocationStream {
    let settings = StreamSettings {
        prefix: config.redis.key_prefix.to_string(),
        keep: config.tokens.access_ttl + MARGIN,
    };
    let seal = digest(master, "sso redis: revocations");
    RevocationStream::new(redis.clone(), &settings, seal)
}

/// What a command tells the servers by: it connects when there is something to tell, and what it
/// does must not depend on Redis.
struct Messenger {
    redis: Redis,
    stream: Arc<RevocationStream>,
    tasks: TaskTracker,
    patience: Duration,
}

/// `None` if there is no Redis. What is told is told by `tasks`.
pub(super) fn messenger(
    config: &Config,
    master: &MasterKey,
    tasks: &TaskTracker,
) -> Option<Arc<dyn Announcements>> {
    if !config.redis.is_used() {
        return None;
    }
    let redis = redis(&config.redis)
        .inspect_err(|error| tracing::warn!(%error, "the servers are not told by Redis"))
        .ok()?;
    Some(Arc::new(Messenger {
        stream: Arc::new(stream(config, &redis, master)),
        redis,
        tasks: tasks.clone(),
        patience: config.redis.connect_timeout + config.redis.command_timeout,
    }))
}

impl Announcements for Messenger {
    fn announce(&self, entries: &[Revocation]) {
        let (redis, stream, entries) = (
            self.redis.clone(),
            Arc::clone(&self.stream),
            entries.to_vec(),
        );
        let tell = async move {
            if let Status::Up(_) = redis.examine().await {
                stream.tell(&entries).await;
            }
        };
        let patience = self.patience;
        self.tasks
            .spawn(async move { timeout(patience, tell).await });
    }
}

impl Helpers {
    /// Counts the attempts of all instances together, and those of this one in `local` beside.
    pub(super) fn throttle(
        &mut self,
        config: &section::Redis,
        local: LocalThrottle,
        master: &MasterKey,
        clock: &Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Arc<dyn Throttle> {
        let settings = SharedThrottleSettings {
            prefix: config.key_prefix.to_string(),
            patience: config.throttle_timeout,
        };
        let digest = digest(master, "sso redis: throttle");
        let redis = self.redis.clone();
        let throttle = SharedThrottle::new(redis, local, settings, digest, clock.clone(), random);
        let throttle = Arc::new(throttle);
        self.throttle = Some(throttle.clone());
        throttle
    }
}

/// Looks whether Redis could be used, and changes nothing there.
pub(crate) fn examine_redis(config: &Config) -> Result<Status, Failed> {
    let redis = redis(&config.redis).map_err(|error| of_settings(&error))?;
    block_on(async { Ok(redis.examine().await) })
}

fn of_settings(error: &SettingsError) -> Failed {
    Failed::new(Exit::Configuration, format!("redis: {error}"))
}

fn digest(master: &MasterKey, purpose: &str) -> Digest {
    let digest = SharedDigest::new(master, purpose);
    Arc::new(move |bytes| digest.of(bytes))
}

fn redis(redis: &section::Redis) -> Result<Redis, SettingsError> {
    let given = |secret: &Option<Credential>| secret.as_ref().map(|s| Secret::new(s.reveal()));
    let mut access = Access {
        username: redis.username.clone(),
        password: given(&redis.password),
    };
    let mut database = 0;
    let target = match &redis.url {
        Some(url) => {
            let password = url.password().map(Secret::new);
            access.username = access.username.or(url.username().map(str::to_owned));
            access.password = access.password.or(password);
            database = url.database();
            Target::One(address(url.host(), url.port()))
        }
        None => Target::Sentinels {
            addresses: redis
                .sentinels
                .iter()
                .map(|sentinel| address(sentinel.parts().0, sentinel.parts().1))
                .collect(),
            master_name: redis.master_name.clone().unwrap_or_default(),
        },
    };
    Redis::new(Settings {
        target,
        access,
        sentinel_access: Access {
            username: redis.sentinel_username.clone(),
            password: given(&redis.sentinel_password),
        },
        database,
        tls: redis.by_tls().then(|| Tls {
            ca: redis.tls_ca.clone(),
            identity: redis.tls_cert.clone().zip(redis.tls_key.clone()),
        }),
        connect_timeout: redis.connect_timeout,
        command_timeout: redis.command_timeout,
    })
}

fn address(host: &str, port: u16) -> Address {
    Address {
        host: host.to_owned(),
        port,
    }
}
