//! Values about databases.

use std::{fmt, str::FromStr};

use sso_store_postgres::servers::ServerUrl;

use super::values::{Misshapen, Shape};

/// Which database. It prints without a password.
#[expect(clippy::large_enum_variant, reason = "there is one of it")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DatabaseUrl {
    /// The embedded one, in `data_dir`.
    Sqlite,
    /// A cluster of PostgreSQL, by its primary.
    Postgres(ServerUrl),
}

impl DatabaseUrl {
    /// Whether it is the embedded one.
    pub(crate) fn is_embedded(&self) -> bool {
        *self == Self::Sqlite
    }
}

impl Shape for DatabaseUrl {
    const SHAPE: &str = "sqlite: (the embedded database in data_dir), or a URL of PostgreSQL such \
                         as postgres://sso@db1:5432,db2:5432/sso?sslmode=verify-full";
}

impl FromStr for DatabaseUrl {
    type Err = Misshapen;

    fn from_str(text: &str) -> Result<Self, Misshapen> {
        if text == "sqlite:" {
            return Ok(Self::Sqlite);
        }
        text.parse().map(Self::Postgres).map_err(|_| Misshapen)
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite => f.write_str("sqlite:"),
            Self::Postgres(url) => url.fmt(f),
        }
    }
}

/// Where a replica is. It prints without a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReplicaUrl(ServerUrl);

impl ReplicaUrl {
    /// The address.
    pub(crate) fn server(&self) -> &ServerUrl {
        &self.0
    }
}

impl Shape for ReplicaUrl {
    const SHAPE: &str =
        "a URL of PostgreSQL such as postgres://sso@replica1:5432/sso?sslmode=verify-full";
}

impl FromStr for ReplicaUrl {
    type Err = Misshapen;

    fn from_str(text: &str) -> Result<Self, Misshapen> {
        text.parse().map(Self).map_err(|_| Misshapen)
    }
}

impl fmt::Display for ReplicaUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

sso_config::by_text!(ReplicaUrl);
