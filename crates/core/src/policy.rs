//! What the operator decides.

use std::time::Duration;

use crate::{ports::store::KeyUse, values::PasswordPolicy};

/// Leeway of a verifier for the clocks of others (RFC 8725, 3.10 wants times checked, and clocks
/// differ).
pub const CLOCK_LEEWAY: Duration = Duration::from_secs(10);

/// The operator's decisions that use cases obey.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Life of an access token.
    pub access_ttl: Duration,
    /// Life of a session from its start; absolute.
    pub refresh_ttl: Duration,
    /// How long the generation before gets the same refresh token again.
    pub refresh_grace: Duration,
    /// A session that was not refreshed for this long is over. `None`: no limit.
    pub session_idle_ttl: Option<Duration>,
    /// Most live sessions of one user: the oldest ends.
    pub max_sessions: u32,
    /// Failed logins answer at a multiple of this after their arrival.
    pub failure_floor: Duration,
    /// Which new passwords are taken.
    pub passwords: PasswordPolicy,
    /// Whether anybody may register.
    pub registration_enabled: bool,
    /// When signing keys come and go.
    pub keys: KeyPolicy,
}

/// When signing keys come and go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPolicy {
    /// How long others may keep the JWKS; a new key signs no earlier after it was published.
    pub jwks_max_age: Duration,
    /// How old the newest key of a use may get before another is made; `None`: however old.
    pub rotate_every: Option<Duration>,
}

impl Default for KeyPolicy {
    fn default() -> Self {
        Self {
            jwks_max_age: Duration::from_mins(5),
            rotate_every: Some(Duration::from_hours(90 * 24)),
        }
    }
}

impl Policy {
    /// The longest that a token signed by a key of this use can be valid, leeway included.
    pub fn longest_life(&self, usage: KeyUse) -> Duration {
        let life = match usage {
            KeyUse::Access => self.access_ttl,
            KeyUse::Refresh => self.refresh_ttl,
        };
        life + 2 * CLOCK_LEEWAY
    }

    /// For how long a revocation can concern a token that is valid by its `exp`, where access tokens
    /// have been made to live up to `longest`.
    pub fn revocation_life(&self, longest: Duration) -> Duration {
        // Twice the leeway: the issuer's clock and the verifier's may differ in both directions.
        self.access_ttl.max(longest) + 2 * CLOCK_LEEWAY
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            access_ttl: Duration::from_mins(15),
            refresh_ttl: Duration::from_hours(10 * 24),
            refresh_grace: Duration::from_secs(30),
            session_idle_ttl: None,
            max_sessions: 100,
            failure_floor: Duration::from_millis(250),
            passwords: PasswordPolicy {
                min_length: 8,
                refuse_common: true,
            },
            registration_enabled: true,
            keys: KeyPolicy::default(),
        }
    }
}
