//! What is stored, where, and what others learn of it.

use std::{path::PathBuf, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::{
    duration,
    values::{DurationOrOff, MasterKey, Text, text},
};

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
    /// With PostgreSQL: how long a deposed primary may go on, or be followed by a standby, after
    /// another was promoted. For 1.2 leases and this long after a new primary was met, and after
    /// the start, nothing is answered `everywhere` early.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Text", extend("x-minimum" = "0s", "x-maximum" = "10m"))]
    pub(crate) fence: Duration,
    /// With PostgreSQL, where a commit does not wait for every standby that may be promoted: how
    /// many of them must follow the primary, or nothing is answered `everywhere`. By default those
    /// that hold a replication slot. Give the number if they follow without slots, or if a slot has
    /// none.
    #[schemars(extend("x-minimum" = 0, "x-maximum" = 100))]
    pub(crate) standbys: Option<u32>,
}

impl Default for Revocation {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(10),
            ack_wait: Duration::from_secs(1),
            fence: Duration::from_secs(2),
            standbys: None,
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
    /// To a topic of Kafka: see the section `kafka`.
    Kafka,
}

/// The keys that sign tokens lie in the database, sealed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Keys {
    /// The algorithm of new keys for access tokens. Keys that exist keep theirs: a change takes
    /// effect with the next rotation (`sso keys rotate`).
    pub(crate) algorithm: Algorithm,
    /// How long others may keep the public keys (`Cache-Control` of the JWKS). A new key is
    /// published that long, and two seconds, before it signs.
    #[serde(with = "duration")]
    #[schemars(
        with = "duration::Text",
        extend("x-minimum" = "1s", "x-maximum" = "1d", "x-whole-seconds" = true)
    )]
    pub(crate) jwks_max_age: Duration,
    /// How old the newest key may get before the server makes another by itself, or `off`. Longer
    /// than `keys.jwks_max_age`. Old keys are retired when the last token that they signed is over.
    #[serde(with = "text")]
    #[schemars(with = "Text<DurationOrOff>")]
    pub(crate) rotate_every: DurationOrOff,
    /// The key that they are sealed under. Without one, the embedded database makes one in
    /// `data_dir`, readable by its owner only; with PostgreSQL it must be given, the same to every
    /// instance. Whoever loses it loses the signing keys: all users
    /// must sign in again.
    #[schemars(with = "Option<Text<MasterKey>>", extend("writeOnly" = true))]
    pub(crate) master_key: Option<MasterKey>,
    /// A file that holds `keys.master_key`.
    #[schemars(extend("x-shape" = "a path"))]
    pub(crate) master_key_file: Option<PathBuf>,
}

impl Default for Keys {
    fn default() -> Self {
        Self {
            algorithm: Algorithm::default(),
            jwks_max_age: Duration::from_mins(5),
            rotate_every: DurationOrOff::of(Duration::from_hours(90 * 24)),
            master_key: None,
            master_key_file: None,
        }
    }
}

/// The algorithm of new keys for access tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub(crate) enum Algorithm {
    /// Ed25519: short and quick.
    #[default]
    EdDSA,
    /// ECDSA on the curve P-256, for libraries that do not know Ed25519.
    ES256,
    /// RSA of 3072 bits, for libraries that know nothing else. Signing is slow.
    RS256,
}
