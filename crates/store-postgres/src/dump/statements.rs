//! The statements of a copy, each to be read as SQL. Columns are in the order of
//! [`Table::columns`].

use sso_core::ports::dump::Table;

/// One statement may take as long as it takes to read a table.
pub(super) const SETTINGS: &str = "
    SET statement_timeout = 0; SET lock_timeout = 0; SET idle_in_transaction_session_timeout = 0;
    SET synchronous_commit = on";

pub(super) const TRY_LOCK: &str = "SELECT pg_try_advisory_lock(8319405893841186819)";

/// `digest` sums up the rows from the first by primary key to the last that has come: as they were
/// read, and as they were written.
pub(crate) const CREATE: &str = "
    CREATE TABLE copy_progress (
        name           text   NOT NULL PRIMARY KEY,
        read_rows      bigint NOT NULL CHECK (read_rows >= 0),
        read_digest    bytea  NOT NULL CHECK (octet_length(read_digest) = 32),
        written_rows   bigint NOT NULL CHECK (written_rows >= 0),
        written_digest bytea  NOT NULL CHECK (octet_length(written_digest) = 32)
    )";

pub(super) const HAS_PROGRESS: &str = "SELECT to_regclass('copy_progress') IS NOT NULL";

pub(super) const PROGRESS: &str = "
    SELECT name, read_rows, read_digest, written_rows, written_digest FROM copy_progress";

pub(super) const ADVANCE: &str = "
    INSERT INTO copy_progress (name, read_rows, read_digest, written_rows, written_digest)
    VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (name) DO UPDATE
    SET read_rows = excluded.read_rows, read_digest = excluded.read_digest,
        written_rows = excluded.written_rows, written_digest = excluded.written_digest";

/// What comes next must not have a number that was copied. Ids of revocations need none: their
/// upper bits are the timeline's.
pub(super) const SEQUENCES: &str = "
    SELECT setval(pg_get_serial_sequence('outbox', 'sequence'), max(sequence))
    FROM outbox HAVING count(*) > 0;
    SELECT setval(pg_get_serial_sequence('audit', 'sequence'), max(sequence))
    FROM audit HAVING count(*) > 0";

pub(super) const ANALYZE: &str = "
    ANALYZE keys; ANALYZE retired_keys; ANALYZE token_lives; ANALYZE users; ANALYZE deleted_users;
    ANALYZE known_networks; ANALYZE sessions; ANALYZE revocations; ANALYZE outbox; ANALYZE audit";

pub(super) const DROP: &str = "DROP TABLE copy_progress";

/// Whoever serves has a row there.
pub(super) const NO_READERS: (&str, &str) =
    ("readers", "SELECT NOT EXISTS (SELECT 1 FROM readers)");

pub(super) const fn is_empty(table: Table) -> &'static str {
    match table {
        Table::Keys => "SELECT NOT EXISTS (SELECT 1 FROM keys)",
        Table::RetiredKeys => "SELECT NOT EXISTS (SELECT 1 FROM retired_keys)",
        Table::TokenLives => "SELECT NOT EXISTS (SELECT 1 FROM token_lives)",
        Table::Users => "SELECT NOT EXISTS (SELECT 1 FROM users)",
        Table::DeletedUsers => "SELECT NOT EXISTS (SELECT 1 FROM deleted_users)",
        Table::KnownNetworks => "SELECT NOT EXISTS (SELECT 1 FROM known_networks)",
        Table::Sessions => "SELECT NOT EXISTS (SELECT 1 FROM sessions)",
        Table::Revocations => "SELECT NOT EXISTS (SELECT 1 FROM revocations)",
        Table::Outbox => "SELECT NOT EXISTS (SELECT 1 FROM outbox)",
        Table::Audit => "SELECT NOT EXISTS (SELECT 1 FROM audit)",
    }
}

macro_rules! table {
    ($columns:literal, $name:literal) => {
        [
            concat!("SELECT ", $columns, " FROM ", $name),
            concat!(
                "COPY ",
                $name,
                " (",
                $columns,
                ") FROM STDIN (FORMAT binary)"
            ),
        ]
    };
}

const KEYS: [&str; 2] = table!(
    "id, usage, algorithm, sealed, created_at, signs_from",
    "keys"
);
const RETIRED_KEYS: [&str; 2] = table!(
    "id, usage, algorithm, created_at, signs_from, retired_at",
    "retired_keys"
);
const TOKEN_LIVES: [&str; 2] = table!("kind, longest", "token_lives");
const USERS: [&str; 2] = table!(
    "id, email, email_canonical, email_verified, password_hash, name, birthday, is_admin, disabled,
     version, sessions_from, created_at",
    "users"
);
const DELETED_USERS: [&str; 2] = table!("id, deleted_at", "deleted_users");
const KNOWN_NETWORKS: [&str; 2] = table!("user_id, network, since", "known_networks");
const SESSIONS: [&str; 2] = table!(
    "id, user_id, version, generation, created_at, rotated_at, expires_at, revoked_at, address,
     agent",
    "sessions"
);
/// Which transaction stored it, and on which timeline, are those of the copy.
const REVOCATIONS: [&str; 2] = table!("id, kind, subject, version, until", "revocations");
const OUTBOX: [&str; 2] = table!(
    "sequence, id, user_id, shard, kind, payload, status, attempts, traceparent, tracestate,
     created_at, delivered_at, skipped_at",
    "outbox"
);
const AUDIT: [&str; 2] = table!(
    "sequence, at, action, result, actor, actor_id, actor_name, user_id, session_id, address, agent,
     times, detail",
    "audit"
);

const fn both(table: Table) -> [&'static str; 2] {
    match table {
        Table::Keys => KEYS,
        Table::RetiredKeys => RETIRED_KEYS,
        Table::TokenLives => TOKEN_LIVES,
        Table::Users => USERS,
        Table::DeletedUsers => DELETED_USERS,
        Table::KnownNetworks => KNOWN_NETWORKS,
        Table::Sessions => SESSIONS,
        Table::Revocations => REVOCATIONS,
        Table::Outbox => OUTBOX,
        Table::Audit => AUDIT,
    }
}

/// Every row.
pub(super) const fn select(table: Table) -> &'static str {
    both(table)[0]
}

/// Rows that come.
pub(super) const fn copy_in(table: Table) -> &'static str {
    both(table)[1]
}

#[cfg(test)]
pub(crate) fn all() -> impl Iterator<Item = &'static str> {
    let tables = Table::ALL.into_iter();
    let of_tables = tables.flat_map(|table| [is_empty(table), select(table), copy_in(table)]);
    let others = [TRY_LOCK, HAS_PROGRESS, PROGRESS, ADVANCE, NO_READERS.1];
    of_tables.chain(others)
}
