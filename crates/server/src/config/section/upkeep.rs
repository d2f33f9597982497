//! What is kept, and for how long.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::duration;

/// The audit log: who did what to whom, from where, with which result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Audit {
    /// How long a record is kept.
    #[serde(with = "duration")]
    #[schemars(
        with = "duration::Text",
        extend("x-minimum" = "1m", "x-maximum" = "36500d")
    )]
    pub(crate) retention: Duration,
    /// Most records an hour of what strangers can repeat, such as refused logins. They are summed
    /// up by account and network; what is beyond this waits and is summed up further, so that
    /// nobody can fill the disk. A record takes about 320 bytes in PostgreSQL, indexes included.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(crate) refused_per_hour: u32,
}

impl Default for Audit {
    fn default() -> Self {
        Self {
            retention: Duration::from_hours(400 * 24),
            refused_per_hour: 600,
        }
    }
}

/// The janitor deletes what is past its age: ended sessions after a day, revocations when they no
/// longer matter, delivered events and audit records after their `retention`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Janitor {
    /// How often it looks.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Text", extend("x-minimum" = "1s", "x-maximum" = "1d"))]
    pub(crate) interval: Duration,
    /// Most rows that it deletes in one transaction. More are deleted in the next one, with a pause
    /// between them for everybody else.
    #[schemars(range(min = 1, max = 10_000))]
    pub(crate) batch: u32,
}

impl Default for Janitor {
    fn default() -> Self {
        Self {
            interval: Duration::from_mins(10),
            batch: 500,
        }
    }
}
