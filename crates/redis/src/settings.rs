//! Where Redis is, and how it knows us.

use std::{fmt, path::PathBuf, time::Duration};

use zeroize::Zeroizing;

/// A password. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Keeps it.
    pub fn new(text: &str) -> Self {
        Self(Zeroizing::new(text.to_owned()))
    }

    /// What it is, for whom it is meant.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// A host and a port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Address {
    /// A name or an address, an IPv6 address without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Which Redis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// This one.
    One(Address),
    /// Whichever the sentinels call the master.
    Sentinels {
        /// Where sentinels are; those of one master, all of them.
        addresses: Vec<Address>,
        /// The name that they know the master by.
        master_name: String,
    },
}

/// How we show who we are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Access {
    /// The ACL user; without one `default`.
    pub username: Option<String>,
    /// Its password.
    pub password: Option<Secret>,
}

/// TLS, to Redis and to sentinels alike.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tls {
    /// Roots (PEM) that certificates must lead to; without, those that this machine trusts.
    pub ca: Option<PathBuf>,
    /// Our own certificate and its key (PEM).
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// All of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Which Redis.
    pub target: Target,
    /// How Redis knows us.
    pub access: Access,
    /// How the sentinels know us.
    pub sentinel_access: Access,
    /// The number of the database.
    pub database: u16,
    /// In clear without.
    pub tls: Option<Tls>,
    /// Longest time until a connection stands and is known.
    pub connect_timeout: Duration,
    /// Longest time until a command is answered.
    pub command_timeout: Duration,
}

/// Settings that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A file of `tls`.
    #[error("{} cannot be read: {error}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// What is in these files.
    #[error("TLS cannot be used: {0}")]
    Tls(String),
}
