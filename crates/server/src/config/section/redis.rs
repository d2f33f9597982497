//! Redis.

use std::{path::PathBuf, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::{
    duration,
    redis::{KeyPrefix, RedisUrl, SentinelAddress},
    remote::Credential,
    values::{Text, text},
};

/// Redis hastens revocations and counts failed logins of all instances together. It only helps:
/// without it revocations reach everywhere some beats later, and each instance counts alone. It may
/// be away, at the start too.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Redis {
    /// One Redis server: `redis://` in clear, `rediss://` by TLS. User and password may stand in it,
    /// or in `redis.username` and `redis.password`.
    #[schemars(with = "Option<Text<RedisUrl>>")]
    pub(crate) url: Option<RedisUrl>,
    /// Instead of `redis.url`: the sentinels, all of them. The master that the newest failover made
    /// is used, and no other.
    #[schemars(with = "Vec<Text<SentinelAddress>>", length(min = 0, max = 16))]
    pub(crate) sentinels: Vec<SentinelAddress>,
    /// The name that the sentinels know the master by.
    #[schemars(extend("x-shape" = "a name"))]
    pub(crate) master_name: Option<String>,
    /// Our ACL user in Redis. Without: `default`.
    #[schemars(extend("x-shape" = "a name"))]
    pub(crate) username: Option<String>,
    /// Our password in Redis.
    #[schemars(with = "Option<Text<Credential>>", extend("writeOnly" = true))]
    pub(crate) password: Option<Credential>,
    /// A file that holds `redis.password`.
    #[schemars(extend("x-shape" = "a path"))]
    pub(crate) password_file: Option<PathBuf>,
    /// Our ACL user at the sentinels. Without: `default`.
    #[schemars(extend("x-shape" = "a name"))]
    pub(crate) sentinel_username: Option<String>,
    /// Our password at the sentinels.
    #[schemars(with = "Option<Text<Credential>>", extend("writeOnly" = true))]
    pub(crate) sentinel_password: Option<Credential>,
    /// A file that holds `redis.sentinel_password`.
    #[schemars(extend("x-shape" = "a path"))]
    pub(crate) sentinel_password_file: Option<PathBuf>,
    /// Whether servers and sentinels speak TLS; `rediss://` says the same.
    pub(crate) tls: bool,
    /// Roots (PEM) that their certificates must lead to. Without: those that this machine trusts.
    #[schemars(extend("x-shape" = "a path"))]
    pub(crate) tls_ca: Option<PathBuf>,
    /// Our own certificate (PEM), for servers that ask for one.
    #[schemars(extend("x-shape" = "a path"))]
    pub(crate) tls_cert: Option<PathBuf>,
    /// Its private key (PEM).
    #[schemars(extend("x-shape" = "a path"))]
    pub(crate) tls_key: Option<PathBuf>,
    /// Every key in Redis begins so: instances that share a database have the same, and nobody
    /// else.
    #[serde(with = "text")]
    #[schemars(with = "Text<KeyPrefix>")]
    pub(crate) key_prefix: KeyPrefix,
    /// Longest time until a connection stands.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Text", extend("x-minimum" = "10ms", "x-maximum" = "30s"))]
    pub(crate) connect_timeout: Duration,
    /// Longest time until a command is answered. No request waits for it.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Text", extend("x-minimum" = "10ms", "x-maximum" = "30s"))]
    pub(crate) command_timeout: Duration,
    /// How long an attempt to log in waits for Redis before this instance counts it alone.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Text", extend("x-minimum" = "1ms", "x-maximum" = "1s"))]
    pub(crate) throttle_timeout: Duration,
}

impl Redis {
    /// Whether one is to be used.
    pub(crate) fn is_used(&self) -> bool {
        self.url.is_some() || !self.sentinels.is_empty()
    }

    /// Whether it is spoken to by TLS.
    pub(crate) fn by_tls(&self) -> bool {
        self.tls || self.url.as_ref().is_some_and(RedisUrl::by_tls)
    }
}

impl Default for Redis {
    fn default() -> Self {
        Self {
            url: None,
            sentinels: Vec::new(),
            master_name: None,
            username: None,
            password: None,
            password_file: None,
            sentinel_username: None,
            sentinel_password: None,
            sentinel_password_file: None,
            tls: false,
            tls_ca: None,
            tls_cert: None,
            tls_key: None,
            key_prefix: KeyPrefix::default(),
            connect_timeout: Duration::from_secs(1),
            command_timeout: Duration::from_millis(500),
            throttle_timeout: Duration::from_millis(50),
        }
    }
}
