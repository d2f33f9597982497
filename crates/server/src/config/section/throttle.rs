//! How fast one client may go.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::duration;

/// How fast one client may go. Beyond a limit the answer is 429 with Retry-After, at once. A network
/// is an IPv4 /24 or an IPv6 /64. Without `redis` the counters are this process' own and start anew
/// with it; with it all instances count together. Requests by address are always counted by each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Throttle {
    /// Whether there are limits at all. `false` is for tests: anybody may guess passwords as fast as
    /// they can be hashed.
    pub(crate) enabled: bool,
    /// Requests a second of one address to one route, as many at once. An IPv6 address counts as its
    /// /64.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(crate) requests_per_second: u32,
    /// The same on the port for services, where one address is a whole service that asks for all of
    /// its users.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(crate) grpc_requests_per_second: u32,
    /// How often a login to one account may fail from one network before it must wait: 1, 2, 4 ..
    /// seconds. A success forgets the failures; so does an hour.
    #[schemars(range(min = 1, max = 1000))]
    pub(crate) login_free_attempts: u32,
    /// The longest of those waits.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Text", extend("x-minimum" = "1s", "x-maximum" = "10m"))]
    pub(crate) login_longest_delay: Duration,
    /// How often logins to one account may fail in a row, from all networks together, before those
    /// from which it has never signed in share one attempt each `throttle.login_longest_delay`. The
    /// others go on, so no stranger can lock the owner out.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(crate) account_failures: u32,
    /// On how many accounts a network may fail within ten minutes before it has one attempt a
    /// second. Accounts that have signed in from there go on.
    #[schemars(range(min = 1, max = 65_535))]
    pub(crate) network_accounts: u32,
    /// Registrations a second of one network, in the long run.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(crate) registrations_per_second: u32,
    /// Registrations of one network at once.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(crate) registration_burst: u32,
    /// How often a network may learn, by a registration that is refused, that an address has an
    /// account; then ten times a minute.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(crate) registration_conflicts: u32,
    /// Most accounts, networks, and pairs of both that are remembered, each. One more forgets what
    /// has the fewest failures. A million of each take about 350 MB.
    #[schemars(range(min = 1000, max = 10_000_000))]
    pub(crate) max_tracked: usize,
}

impl Default for Throttle {
    fn default() -> Self {
        Self {
            enabled: true,
            requests_per_second: 10_000,
            grpc_requests_per_second: 100_000,
            login_free_attempts: 5,
            login_longest_delay: Duration::from_mins(1),
            account_failures: 100,
            network_accounts: 1000,
            registrations_per_second: 100,
            registration_burst: 5000,
            registration_conflicts: 1000,
            max_tracked: 100_000,
        }
    }
}
