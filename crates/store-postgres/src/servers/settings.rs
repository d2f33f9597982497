//! How the servers are reached.

use std::{path::PathBuf, time::Duration};

use super::ServerUrl;

/// How the servers are reached. [`Settings::new`] has the defaults.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the primary is looked for; may name several hosts.
    pub url: ServerUrl,
    /// Where replicas are looked for, besides `url`.
    pub replicas: Vec<ServerUrl>,
    /// Certificates.
    pub tls: TlsSettings,
    /// What the server shows in `pg_stat_activity`.
    pub application_name: String,
    /// A replica whose newest known beat is older is not read.
    pub max_lag: Duration,
    /// Most connections to each address.
    pub max_connections: usize,
    /// Longest wait for a connection, the wait for a new primary included.
    pub acquire_timeout: Duration,
    /// Most callers that wait for a connection at once; beyond, the store is unavailable at once.
    pub max_waiting: u32,
    /// Longest time until a connection stands: TCP, TLS, authentication, the question who it is.
    pub connect_timeout: Duration,
    /// The server ends a statement that takes longer.
    pub statement_timeout: Duration,
    /// The server ends a statement that waits longer for a lock.
    pub lock_timeout: Duration,
    /// TCP asks a silent peer after this long, and again in this interval.
    pub keepalive: Duration,
    /// A connection ends when what was sent is not acknowledged for this long.
    pub tcp_user_timeout: Duration,
    /// How often each server is asked who it is, and how far behind.
    pub probe_interval: Duration,
    /// A server that does not answer such a question for this long is gone: its connections are
    /// used no more. Shorter than a stall that a server survives (a checkpoint, a machine that is
    /// moved) makes failovers where there are none.
    pub probe_timeout: Duration,
}

/// Certificates.
#[derive(Debug, Clone, Default)]
pub struct TlsSettings {
    /// PEM: whom to trust, instead of the system's.
    pub ca: Option<PathBuf>,
    /// PEM: the client's certificate, with its chain.
    pub certificate: Option<PathBuf>,
    /// PEM: its key.
    pub key: Option<PathBuf>,
}

impl Settings {
    /// The defaults, for this address.
    pub fn new(url: ServerUrl) -> Self {
        Self {
            url,
            replicas: Vec::new(),
            tls: TlsSettings::default(),
            application_name: "sso".to_owned(),
            max_lag: Duration::from_secs(2),
            max_connections: 16,
            acquire_timeout: Duration::from_secs(8),
            max_waiting: 512,
            connect_timeout: Duration::from_secs(2),
            statement_timeout: Duration::from_secs(5),
            lock_timeout: Duration::from_secs(3),
            keepalive: Duration::from_secs(5),
            tcp_user_timeout: Duration::from_secs(5),
            probe_interval: Duration::from_millis(200),
            probe_timeout: Duration::from_secs(3),
        }
    }
}
