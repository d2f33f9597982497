//! Who gets in, and for how long.

use std::{path::PathBuf, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Http;
use crate::config::{
    duration,
    remote::Credential,
    values::{DurationOrOff, Text, TokenName, text},
};

/// What is in tokens, and how long they live.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Tokens {
    /// How access tokens are signed. Refresh tokens are the same in both modes, so sessions survive
    /// a change; access tokens of the mode `hs256` end with it, and clients refresh.
    pub(crate) mode: TokenMode,
    /// The secret of the mode `hs256`: 32 bytes or more. Without effect in the other mode.
    #[schemars(with = "Option<Text<Credential>>", extend("writeOnly" = true))]
    pub(crate) hs256_secret: Option<Credential>,
    /// A file that holds `tokens.hs256_secret`.
    #[schemars(extend("x-shape" = "a path"))]
    pub(crate) hs256_secret_file: Option<PathBuf>,
    /// Whether a `tokens.hs256_secret` shorter than 32 bytes is taken. Who has one token can then
    /// try secrets on his own machine, and whoever finds it can be any user.
    pub(crate) hs256_accept_weak: bool,
    /// The claim `iss`. Without one: `http.public_url`. Tokens of another issuer are refused, so a
    /// change ends all sessions.
    #[serde(with = "text")]
    #[schemars(with = "Text<TokenName>")]
    pub(crate) issuer: TokenName,
    /// The claim `aud` of access tokens: the services that they are for. Without any: the issuer.
    #[schemars(with = "Vec<Text<TokenName>>", length(min = 1, max = 16))]
    pub(crate) audience: Vec<TokenName>,
    /// How long an access token lives.
    #[serde(with = "duration")]
    #[schemars(
        with = "duration::Text",
        extend("x-minimum" = "1s", "x-maximum" = "1d", "x-whole-seconds" = true)
    )]
    pub(crate) access_ttl: Duration,
    /// How long a session lives, from the sign-in, however often it is refreshed.
    #[serde(with = "duration")]
    #[schemars(
        with = "duration::Text",
        extend("x-minimum" = "1s", "x-maximum" = "366d", "x-whole-seconds" = true)
    )]
    pub(crate) refresh_ttl: Duration,
}

impl Default for Tokens {
    fn default() -> Self {
        let issuer = TokenName::from(&Http::default().public_url);
        Self {
            mode: TokenMode::default(),
            hs256_secret: None,
            hs256_secret_file: None,
            hs256_accept_weak: false,
            audience: vec![issuer.clone()],
            issuer,
            access_ttl: Duration::from_mins(15),
            refresh_ttl: Duration::from_hours(10 * 24),
        }
    }
}

/// How access tokens are signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum TokenMode {
    /// By a key that only this service has; everybody verifies by the JWKS.
    #[default]
    Keys,
    /// By a secret shared with every service that verifies, as the system before this one did: for
    /// services that cannot be changed yet. Whoever verifies can also forge, so such tokens say
    /// nothing of the admin role and administer nothing. The JWKS is empty.
    Hs256,
}

/// Sessions of users.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Sessions {
    /// How long the refresh token before the current one is answered with the current one, for
    /// clients that refresh twice at once or lost the answer. Afterwards its use is theft and ends
    /// the session.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Text", extend("x-minimum" = "0s", "x-maximum" = "10m"))]
    pub(crate) refresh_grace: Duration,
    /// A session that was not refreshed for this long is over. Should be several times
    /// `tokens.access_ttl`, since clients refresh when their access token expires; `sso doctor` warns
    /// of less.
    #[serde(with = "text")]
    #[schemars(with = "Text<DurationOrOff>")]
    pub(crate) idle_ttl: DurationOrOff,
    /// Most sessions of one user. One more ends the oldest.
    #[schemars(range(min = 1, max = 10_000))]
    pub(crate) max_per_user: u32,
}

impl Default for Sessions {
    fn default() -> Self {
        Self {
            refresh_grace: Duration::from_secs(30),
            idle_ttl: DurationOrOff::OFF,
            max_per_user: 100,
        }
    }
}

/// Which passwords are taken, and how they are stored. Only new passwords are judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Passwords {
    /// Fewest characters of a new password.
    #[schemars(range(min = 1, max = 128))]
    pub(crate) min_length: usize,
    /// Whether the 10,000 commonest passwords are refused.
    pub(crate) refuse_common: bool,
    /// Memory of one argon2id hash in KiB. Less than 19456 is for tests: an attacker who has the
    /// hashes tries more passwords a second.
    #[schemars(range(min = 8, max = 262_144))]
    pub(crate) argon2_memory: u32,
    /// Passes of one argon2id hash.
    #[schemars(range(min = 1, max = 10))]
    pub(crate) argon2_iterations: u32,
}

impl Default for Passwords {
    fn default() -> Self {
        Self {
            min_length: 8,
            refuse_common: true,
            argon2_memory: 19_456,
            argon2_iterations: 2,
        }
    }
}

/// Signing in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Login {
    /// A failed login answers at a multiple of this after it arrived, so that its time does not
    /// tell whether the account exists. Longer than a hash takes under load.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Text", extend("x-minimum" = "1ms", "x-maximum" = "5s"))]
    pub(crate) failure_floor: Duration,
}

impl Default for Login {
    fn default() -> Self {
        Self {
            failure_floor: Duration::from_millis(250),
        }
    }
}

/// Registration by anybody.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Registration {
    /// Whether it is possible. Administrators can always add users.
    pub(crate) enabled: bool,
}

impl Default for Registration {
    fn default() -> Self {
        Self { enabled: true }
    }
}

/// The pool that hashes passwords.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Hashing {
    /// Its threads; 0 is one for each processor. Each holds the memory of one hash.
    #[schemars(range(min = 0, max = 256))]
    pub(crate) threads: usize,
    /// How many hashes may wait for each thread, in each of the two queues (logins and
    /// registrations); one more is answered 503.
    #[schemars(range(min = 1, max = 10_000))]
    pub(crate) queue_per_thread: usize,
    /// How long a hash may wait; then 503.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Text", extend("x-minimum" = "10ms", "x-maximum" = "1m"))]
    pub(crate) queue_deadline: Duration,
}

impl Default for Hashing {
    fn default() -> Self {
        Self {
            threads: 0,
            queue_per_thread: 64,
            queue_deadline: Duration::from_secs(2),
        }
    }
}
