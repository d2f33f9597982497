//! What is stored, where, and what others learn of it.

use std::{path::PathBuf, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::{
    duration,
    values::{DatabaseUrl, MasterKey, Text, text},
};

/// Where users and sessions are stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Database {
    /// Which database: `sqlite:` is the embedded one, in `data_dir`.
    #[serde(with = "text")]
    #[schemars(with = "Text<DatabaseUrl>")]
    pub(crate) url: DatabaseUrl,
    /// Whether a database of an older version is migrated at the start. If not, the start is
    /// refused until `sso migrate up` has been run.
    pub(crate) migrate: bool,
}

impl Default for Database {
    fn default() -> Self {
        Self {
            url: DatabaseUrl::Sqlite,
            migrate: true,
        }
    }
}

/// How quickly the end of an access is known everywhere.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Revocation {
    /// How long an instance may go on validating tokens after it last heard from the database.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Text", extend("x-minimum" = "1s", "x-maximum" = "1m"))]
    pub(crate) lease: Duration,
    /// How long a request that ends an access waits until all instances know it; then it answers
    /// `pending` instead of `everywhere`. Shorter than `http.request_timeout`.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Text", extend("x-minimum" = "0s", "x-maximum" = "30s"))]
    pub(crate) ack_wait: Duration,
}

impl Default for Revocation {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(10),
            ack_wait: Duration::from_secs(1),
        }
    }
}

/// What becomes of events such as a registration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Events {
    /// Where they go.
    pub(crate) sink: Sink,
    /// How long a delivered event is kept. One that is not delivered is kept until it is.
    #[serde(with = "duration")]
    #[schemars(
        with = "duration::Text",
        extend("x-minimum" = "1m", "x-maximum" = "36500d")
    )]
    pub(crate) retention: Duration,
}

impl Default for Events {
    fn default() -> Self {
        Self {
            sink: Sink::default(),
            retention: Duration::from_hours(30 * 24),
        }
    }
}

/// Where events go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Sink {
    /// To the log, without personal data.
    #[default]
    Log,
}

/// The keys that sign tokens lie in the database, sealed.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Keys {
    /// The key that they are sealed under. Without one, the embedded database makes one in
    /// `data_dir`, readable by its owner only. Whoever loses it loses the signing keys: all users
    /// must sign in again.
    #[schemars(with = "Option<Text<MasterKey>>", extend("writeOnly" = true))]
    pub(crate) master_key: Option<MasterKey>,
    /// A file that holds `keys.master_key`.
    #[schemars(extend("x-shape" = "a path"))]
    pub(crate) master_key_file: Option<PathBuf>,
}
