//! The store ports in PostgreSQL's own SQL: a primary, and replicas that carry the reads.
//!
//! `servers` knows which server is the primary and hands out connections; everything else here is
//! statements. A statement that must be right by itself is one: a refresh is one compare-and-swap,
//! and refreshes that meet are one together; a login's session is inserted where the user's row is still the one that was seen.
//!
//! A transaction sends `BEGIN` with its first statement and what nobody waits for with `COMMIT`. A
//! `COMMIT` whose answer is lost is looked up before it is called unknown.
//!
//! Columns are named in every statement, so that a binary can serve a database to which a newer one
//! has added some: `SELECT *` would end each prepared statement with the migration.

mod audit;
mod codec;
mod commit;
pub mod dump;
mod error;
mod feed;
mod keys;
pub mod leases;
mod lifecycle;
mod lives;
mod login;
mod migrations;
mod networks;
mod outbox;
mod query;
mod revocations;
mod rotation;
pub mod servers;
mod sessions;
pub mod shards;
mod store;
mod tx;
mod users;

use metrics::{Unit, counter, describe_counter, describe_gauge, gauge};

pub use error::{SchemaError, is_damage};
pub use migrations::MigrationStatus;
pub use store::{Limits, OpenError, PostgresStore};

/// Reads by the role of the server that answered.
const READS: &str = "sso_store_reads_total";
/// Statements sent once more.
const RETRIES: &str = "sso_store_retries_total";
/// Statements that rotate sessions, each of one or more.
const REFRESHES: &str = "sso_store_refresh_statements_total";
/// Refreshes that wait for the next of them.
const WAITING: &str = "sso_store_refreshes_waiting";

/// Describes this crate's metrics and makes their series exist at 0.
pub fn register_metrics() {
    describe_counter!(
        READS,
        Unit::Count,
        "Reads of the store by the role of the server that answered; not those of the relay."
    );
    describe_counter!(
        RETRIES,
        Unit::Count,
        "Statements that were sent again because they certainly did nothing, or may be done twice."
    );
    describe_counter!(
        REFRESHES,
        Unit::Count,
        "Statements by which sessions were refreshed. Refreshes that meet are one."
    );
    describe_gauge!(
        WAITING,
        Unit::Count,
        "Refreshes that wait for the next statement, or for a connection to the primary."
    );
    gauge!(WAITING).set(0.0);
    for counted in [RETRIES, REFRESHES] {
        counter!(counted).absolute(0);
    }
    for role in [PRIMARY, REPLICA] {
        counter!(READS, "role" => role).absolute(0);
    }
    leases::register_metrics();
}

const PRIMARY: &str = "primary";
const REPLICA: &str = "replica";
