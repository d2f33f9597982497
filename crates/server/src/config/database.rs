//! Values about databases.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sso_store_postgres::servers::ServerUrl;
use zeroize::Zeroizing;

use super::values::{HIDDEN, Misshapen, Shape, text};

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

/// In a list, where no `with` reaches.
impl Serialize for ReplicaUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        text::serialize(self, serializer)
    }
}

impl<'de> Deserialize<'de> for ReplicaUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text::deserialize(deserializer)
    }
}

/// How we show PostgreSQL who we are. Neither printed nor serialised.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct DatabasePassword(Zeroizing<String>);

impl DatabasePassword {
    /// The password.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Shape for DatabasePassword {
    const SHAPE: &str = "a text of 1 to 4096 bytes without control characters";
}

impl<'de> Deserialize<'de> for DatabasePassword {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Zeroizing::new(text)))
    }
}

impl Serialize for DatabasePassword {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(HIDDEN)
    }
}

impl fmt::Debug for DatabasePassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DatabasePassword(..)")
    }
}
