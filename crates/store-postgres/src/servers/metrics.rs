//! What the servers' side of the store counts.

use std::time::Duration;

use metrics::{Unit, counter, describe_counter, describe_gauge, gauge};

const LAG: &str = "sso_store_replica_lag_seconds";
const CONNECTIONS: &str = "sso_store_connections";
const WAITING: &str = "sso_store_waiting";
const FAILOVERS: &str = "sso_store_failovers_total";
const EVICTED: &str = "sso_store_evicted_total";
const TIMELINE: &str = "sso_store_timeline";

/// Describes the metrics and makes their series exist, for these addresses (`host:port`, whether it
/// is one of replicas). The servers do so when they are opened.
pub fn register<'a>(addresses: impl Iterator<Item = (&'a str, bool)>) {
    describe_gauge!(
        LAG,
        Unit::Seconds,
        "Age of the newest beat that the replicas of an address show, of the furthest behind."
    );
    describe_gauge!(CONNECTIONS, "Connections to an address, by state.");
    describe_gauge!(
        WAITING,
        "Callers that wait for a connection to the primary."
    );
    describe_gauge!(TIMELINE, "The primary's timeline; 0: there is no primary.");
    describe_counter!(FAILOVERS, "New primaries on a new timeline.");
    describe_counter!(EVICTED, "Connections closed because of what they answered.");
    for (address, replica) in addresses {
        connections(address, 0, 0);
        if replica {
            lag(address, Duration::ZERO);
        }
    }
    waiting(0);
    timeline(None);
    counter!(FAILOVERS).absolute(0);
    counter!(EVICTED).absolute(0);
}

pub(super) fn lag(address: &str, lag: Duration) {
    gauge!(LAG, "replica" => address.to_owned()).set(lag.as_secs_f64());
}

pub(super) fn connections(address: &str, used: u32, idle: u32) {
    for (state, count) in [("used", used), ("idle", idle)] {
        gauge!(CONNECTIONS, "server" => address.to_owned(), "state" => state).set(count);
    }
}

pub(super) fn waiting(count: u32) {
    gauge!(WAITING).set(count);
}

pub(super) fn timeline(timeline: Option<u32>) {
    gauge!(TIMELINE).set(timeline.unwrap_or(0));
}

pub(super) fn failover() {
    counter!(FAILOVERS).increment(1);
}

pub(super) fn evicted() {
    counter!(EVICTED).increment(1);
}
