//! The ports of the store in SQLite's own SQL: the database that is built in.
//!
//! One thread writes, two read, one listens for what other processes revoke. Callers talk to them
//! through bounded queues. The writing thread commits in groups: many waiting requests, one fsync
//! (`synchronous = FULL`), and nobody is answered before it, so an acknowledged write survives
//! `kill -9` and a power cut.
//!
//! The folder holds `sso.db` with its write-ahead log, `serve.lock` (held by the one server) and
//! `migrate.lock`. Commands work beside the server; what they revoke reaches it by its next beat.
//!
//! Every rule of a lifecycle is a condition in the SQL, and what SQL can promise (`STRICT` tables,
//! checks, foreign keys, the unique address) it does.

mod audit;
mod codec;
mod connection;
pub mod dump;
mod error;
mod fault;
mod folder;
mod integrity;
mod keys;
mod lifecycle;
mod lives;
mod login;
mod migrations;
mod networks;
mod outbox;
mod query;
mod queue;
mod reader;
mod revocations;
mod sessions;
mod store;
mod tx;
mod users;
mod writer;

use metrics::{Unit, counter, describe_counter};

pub use error::{OpenError, Taken, Unusable};
pub use fault::is_damage;
pub use folder::DATABASE;
pub use integrity::{check_integrity, is_served};
pub use migrations::MigrationStatus;
pub use store::{Limits, Role, Settings, SqliteStore};

/// Reads by the role of the server that answered.
const READS: &str = "sso_store_reads_total";

/// Describes this crate's metrics and makes their series exist at 0.
pub fn register_metrics() {
    describe_counter!(
        READS,
        Unit::Count,
        "Reads of the store by the role of the server that answered."
    );
    for role in ["primary", "replica"] {
        counter!(READS, "role" => role).absolute(0);
    }
}
