//! What is counted. All labels are of closed sets.

use metrics::{Unit, counter, describe_counter, describe_gauge, gauge};

const CONNECTED: &str = "sso_redis_connected";
const CONNECTIONS: &str = "sso_redis_connections_total";
const MASTERS: &str = "sso_redis_master_changes_total";
const APPENDED: &str = "sso_redis_appended_total";
const RECEIVED: &str = "sso_redis_received_total";
const SHARED: &str = "sso_throttle_shared";
const COUNTED: &str = "sso_throttle_attempts_total";

/// Where an attempt was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Counted {
    /// In Redis.
    Shared,
    /// In this process: Redis is away or slow.
    Local,
}

/// Describes them and makes their series exist at 0, but [`connected`]: that is of who has a Redis.
pub fn register_metrics() {
    describe_gauge!(
        CONNECTED,
        Unit::Count,
        "1 while a master of Redis is connected, else 0; without a Redis there is no such series."
    );
    describe_counter!(
        CONNECTIONS,
        Unit::Count,
        "Connections to a master of Redis that were made."
    );
    describe_counter!(MASTERS, Unit::Count, "Changes of the master of Redis.");
    describe_counter!(
        APPENDED,
        Unit::Count,
        "Revocations given to the stream, by outcome. What is lost reaches others by their beats."
    );
    describe_counter!(
        RECEIVED,
        Unit::Count,
        "Entries of the stream, by outcome. Foreign ones carry no seal of ours and are ignored."
    );
    describe_gauge!(
        SHARED,
        Unit::Count,
        "1 while failed logins of all instances are counted together, 0 while each counts alone."
    );
    describe_counter!(
        COUNTED,
        Unit::Count,
        "Attempts to log in, by where they were counted."
    );
    gauge!(SHARED).set(0.0);
    counter!(CONNECTIONS).absolute(0);
    counter!(MASTERS).absolute(0);
    for outcome in ["appended", "lost"] {
        counter!(APPENDED, "outcome" => outcome).absolute(0);
    }
    for outcome in ["ours", "foreign"] {
        counter!(RECEIVED, "outcome" => outcome).absolute(0);
    }
    for place in ["shared", "local"] {
        counter!(COUNTED, "place" => place).absolute(0);
    }
}

/// To be said at the start as well: an alert is for who never was.
pub(crate) fn connected(is: bool) {
    gauge!(CONNECTED).set(f64::from(u8::from(is)));
}

pub(crate) fn count_connection() {
    counter!(CONNECTIONS).increment(1);
}

pub(crate) fn count_master_change() {
    counter!(MASTERS).increment(1);
}

pub(crate) fn count_appended(count: usize) {
    counter!(APPENDED, "outcome" => "appended").increment(count as u64);
}

pub(crate) fn count_lost(count: usize) {
    counter!(APPENDED, "outcome" => "lost").increment(count as u64);
}

pub(crate) fn count_received(ours: usize, foreign: usize) {
    counter!(RECEIVED, "outcome" => "ours").increment(ours as u64);
    counter!(RECEIVED, "outcome" => "foreign").increment(foreign as u64);
}

pub(crate) fn count_attempt(counted: Counted) {
    let place = match counted {
        Counted::Shared => "shared",
        Counted::Local => "local",
    };
    counter!(COUNTED, "place" => place).increment(1);
    gauge!(SHARED).set(f64::from(u8::from(counted == Counted::Shared)));
}
