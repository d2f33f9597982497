//! Where things are stored.

use std::{path::PathBuf, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::{
    database::{DatabaseUrl, ReplicaUrl},
    duration,
    remote::Credential,
    values::{Text, text},
};

/// Where users and sessions are stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Database {
    /// Which database: `sqlite:` is the embedded one, in `data_dir`; `postgres://` a cluster of
    /// PostgreSQL (15 or later), by the address of its primary. Several hosts may be named, or a
    /// balancer: each server is asked what it is. `sslmode` is one of libpq's: `disable` (in
    /// clear), `prefer` (TLS if the server can, whoever it is; the default), `require` (TLS,
    /// whoever it is; with `database.tls_ca` as `verify-ca`), `verify-ca`, `verify-full` (and the
    /// certificate is of the host that is named).
    #[serde(with = "text")]
    #[schemars(with = "Text<DatabaseUrl>")]
    pub(crate) url: DatabaseUrl,
    /// Replicas that carry reads. They need not be reachable at the start.
    #[schemars(with = "Vec<Text<ReplicaUrl>>", length(min = 0, max = 16))]
    pub(crate) replicas: Vec<ReplicaUrl>,
    /// A replica that is further behind is not read until it has caught up. What is read there is
    /// never too old for what it is read for, however far behind it is: this saves asking in vain.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Text", extend("x-minimum" = "100ms", "x-maximum" = "1m"))]
    pub(crate) max_lag: Duration,
    /// Whether a database of an older version is migrated at the start. If not, the start is
    /// refused until `sso migrate up` has been run. True for the embedded database if it is not
    /// set, false for PostgreSQL.
    pub(crate) migrate: bool,
    /// The name that PostgreSQL shows for our connections.
    #[schemars(extend("x-shape" = "a name"))]
    pub(crate) application_name: String,
    /// Most connections to each server that is named. The server must allow as many for every
    /// instance, and four more.
    #[schemars(range(min = 1, max = 1000))]
    pub(crate) max_connections: usize,
    /// Longest wait of a request for a connection to the primary, also while there is none;
    /// then it is answered `unavailable`. Shorter than `http.request_timeout`.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Text", extend("x-minimum" = "100ms", "x-maximum" = "1m"))]
    pub(crate) acquire_timeout: Duration,
    /// Most requests that wait so at once; the next one is answered `unavailable` at once.
    #[schemars(range(min = 0, max = 100_000))]
    pub(crate) max_waiting: u32,
    /// Longest time until a connection stands.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Text", extend("x-minimum" = "100ms", "x-maximum" = "30s"))]
    pub(crate) connect_timeout: Duration,
    /// The server ends a statement that takes longer.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Text", extend("x-minimum" = "100ms", "x-maximum" = "10m"))]
    pub(crate) statement_timeout: Duration,
    /// The server ends a statement that waits longer for a lock.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Text", extend("x-minimum" = "100ms", "x-maximum" = "10m"))]
    pub(crate) lock_timeout: Duration,
    /// TCP asks a silent server after this long whether it is there, and again in this interval;
    /// after three times without an answer the connection ends.
    #[serde(with = "duration")]
    #[schemars(
        with = "duration::Text",
        extend("x-minimum" = "1s", "x-maximum" = "2h", "x-whole-seconds" = true)
    )]
    pub(crate) tcp_keepalive: Duration,
    /// A connection ends when the server's machine does not acknowledge for this long what was
    /// sent.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Text", extend("x-minimum" = "100ms", "x-maximum" = "10m"))]
    pub(crate) tcp_user_timeout: Duration,
    /// A server that does not answer within this time who it is counts as gone: a failover begins
    /// here. Longer than the stalls that your servers survive.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Text", extend("x-minimum" = "100ms", "x-maximum" = "1m"))]
    pub(crate) probe_timeout: Duration,
    /// The password, if no URL has one; for every URL without one.
    #[schemars(with = "Option<Text<Credential>>", extend("writeOnly" = true))]
    pub(crate) password: Option<Credential>,
    /// A file that holds `database.password`.
    #[schemars(extend("x-shape" = "a path"))]
    pub(crate) password_file: Option<PathBuf>,
    /// PEM file with the CAs that sign the servers' certificates; for a public CA the system's
    /// bundle.
    #[schemars(extend("x-shape" = "a path"))]
    pub(crate) tls_ca: Option<PathBuf>,
    /// PEM file with our certificate and its chain, for servers that ask for one.
    #[schemars(extend("x-shape" = "a path"))]
    pub(crate) tls_cert: Option<PathBuf>,
    /// PEM file with its key.
    #[schemars(extend("x-shape" = "a path"))]
    pub(crate) tls_key: Option<PathBuf>,
}

impl Default for Database {
    fn default() -> Self {
        Self {
            url: DatabaseUrl::Sqlite,
            replicas: Vec::new(),
            max_lag: Duration::from_secs(2),
            migrate: true,
            application_name: "sso".to_owned(),
            max_connections: 16,
            acquire_timeout: Duration::from_secs(8),
            max_waiting: 512,
            connect_timeout: Duration::from_secs(2),
            statement_timeout: Duration::from_secs(5),
            lock_timeout: Duration::from_secs(3),
            tcp_keepalive: Duration::from_secs(5),
            tcp_user_timeout: Duration::from_secs(5),
            probe_timeout: Duration::from_secs(3),
            password: None,
            password_file: None,
            tls_ca: None,
            tls_cert: None,
            tls_key: None,
        }
    }
}
