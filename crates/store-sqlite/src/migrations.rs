//! The schema: whose it is, how old, and how it is brought up to date.
//!
//! Migrations are append-only and numbered. The pending ones run as one transaction, so that a
//! failing or killed migration leaves nothing behind, and under a lock of the folder, because the
//! runner reads what is applied before it begins.

use std::{fs, path::Path};

use refinery::{Migration, Runner};
use rusqlite::{Connection, TransactionBehavior};

use crate::{
    OpenError, connection,
    fault::Fault,
    folder::Folder,
    query::{all, first, one, scalar},
};

/// "sso1" in the header of each database of ours.
const APPLICATION: i64 = 0x7373_6f31;

/// Every migration, in order. The number before the name is the schema that it makes.
const MIGRATIONS: &[(u32, &str, &str)] = &[
    (
        1,
        "V1__initial",
        include_str!("../migrations/V1__initial.sql"),
    ),
    (3, "V3__keys", include_str!("../migrations/V3__keys.sql")),
    (
        4,
        "V4__lifecycle",
        include_str!("../migrations/V4__lifecycle.sql"),
    ),
    (
        6,
        "V6__skipped_events",
        include_str!("../migrations/V6__skipped_events.sql"),
    ),
    (
        7,
        "V7__known_networks",
        include_str!("../migrations/V7__known_networks.sql"),
    ),
    (
        8,
        "V8__live_sessions",
        include_str!("../migrations/V8__live_sessions.sql"),
    ),
    (
        9,
        "V9__token_lives",
        include_str!("../migrations/V9__token_lives.sql"),
    ),
];

const MARK: &str = "PRAGMA application_id = 0x73736f31";
const MARKED: &str = "PRAGMA application_id";
const OBJECTS: &str = "SELECT count(*) FROM sqlite_schema";
const HAS_HISTORY: &str = "
    SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'refinery_schema_history'";
const HISTORY: &str = "SELECT version, checksum FROM refinery_schema_history ORDER BY version";
const MIN_VERSION: &str = "SELECT min_version FROM compatibility";
const WRITE_AHEAD: &str = "PRAGMA journal_mode = WAL";

/// How a database's schema compares with this program's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationStatus {
    /// The database's schema; 0 where there is none yet.
    pub current: u32,
    /// The latest schema that this program knows.
    pub latest: u32,
    /// Names of the migrations that are not applied, in order.
    pub pending: Vec<String>,
}

impl MigrationStatus {
    /// Looks at the database in `folder` and changes nothing. A database that is not there is one
    /// without a schema.
    pub fn of(folder: &Path) -> Result<Self, OpenError> {
        let file = Folder::at(folder).database();
        let empty = fs::metadata(&file).is_ok_and(|metadata| metadata.len() == 0);
        if empty || !fs::exists(&file).unwrap_or(true) {
            return Ok(Self::at(0));
        }
        let connection =
            connection::reader(&file).map_err(|fault| OpenError::of(file.clone(), fault))?;
        current(&connection, &file).map(Self::at)
    }

    fn at(current: u32) -> Self {
        Self {
            current,
            latest: latest(),
            pending: MIGRATIONS
                .iter()
                .filter(|(version, ..)| *version > current)
                .map(|(_, name, _)| (*name).to_owned())
                .collect(),
        }
    }
}

/// Makes the database one that this program can serve, or says why it cannot be. A database of
/// another program is not touched.
pub(crate) fn prepare(
    connection: &mut Connection,
    file: &Path,
    migrate: bool,
) -> Result<(), OpenError> {
    let of = |fault| OpenError::of(file.to_owned(), fault);
    let found = current(connection, file)?;
    if found > latest() {
        return admit_newer(connection, file, found);
    }
    if found < latest() {
        if !migrate {
            return Err(OpenError::Behind {
                file: file.to_owned(),
                found,
                needed: latest(),
            });
        }
        if found == 0 {
            connection
                .execute_batch(MARK)
                .map_err(|error| of(error.into()))?;
        }
    }
    write_ahead(connection).map_err(of)?;
    if found < latest() {
        run(connection, file)?;
    }
    Ok(())
}

/// The schema's number: 0 for an empty database, an error for another program's.
fn current(connection: &Connection, file: &Path) -> Result<u32, OpenError> {
    let of = |fault| OpenError::of(file.to_owned(), fault);
    let objects: i64 = one(connection, OBJECTS, [], scalar).map_err(of)?;
    let mark: i64 = one(connection, MARKED, [], scalar).map_err(of)?;
    match (mark, objects) {
        (APPLICATION, _) => history(connection).map_err(of),
        (0, 0) => Ok(0),
        _ => Err(OpenError::Foreign {
            file: file.to_owned(),
        }),
    }
}

/// Reads the checksums too: the runner takes for granted that they are numbers.
fn history(connection: &Connection) -> Result<u32, Fault> {
    if one::<i64>(connection, HAS_HISTORY, [], scalar)? == 0 {
        return Ok(0);
    }
    let applied = all(connection, HISTORY, [], |row| {
        let checksum: String = row.get(1)?;
        let version: i64 = row.get(0)?;
        checksum
            .parse::<u64>()
            .ok()
            .and_then(|_| u32::try_from(version).ok())
            .ok_or(Fault::Undecodable("refinery_schema_history"))
    })?;
    Ok(applied.last().copied().unwrap_or(0))
}

/// A newer program has migrated it: fine, as long as that took nothing away that this one uses.
fn admit_newer(connection: &Connection, file: &Path, found: u32) -> Result<(), OpenError> {
    let needed = first(connection, MIN_VERSION, [], scalar::<i64>)
        .map_err(|fault| OpenError::of(file.to_owned(), fault))?
        .and_then(|version| u32::try_from(version).ok())
        .unwrap_or(u32::MAX);
    if needed <= latest() {
        return Ok(());
    }
    Err(OpenError::Newer {
        file: file.to_owned(),
        found,
        needed,
        known: latest(),
    })
}

/// The mode stays with the file. A file system without shared memory cannot have it.
fn write_ahead(connection: &Connection) -> Result<(), Fault> {
    let mode: String = one(connection, WRITE_AHEAD, [], scalar)?;
    if mode == "wal" {
        Ok(())
    } else {
        let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR_SHMOPEN);
        Err(rusqlite::Error::SqliteFailure(
            code,
            Some("this file system cannot hold a write-ahead log".to_owned()),
        )
        .into())
    }
}

pub(crate) fn run(connection: &mut Connection, file: &Path) -> Result<(), OpenError> {
    let failed = |error: refinery::Error| OpenError::Migration {
        file: file.to_owned(),
        source: error.into(),
    };
    let migrations = MIGRATIONS
        .iter()
        .map(|(_, name, sql)| Migration::unapplied(name, sql))
        .collect::<Result<Vec<_>, _>>()
        .map_err(failed)?;
    connection.set_transaction_behavior(TransactionBehavior::Immediate);
    Runner::new(&migrations)
        .set_grouped(true)
        .set_abort_missing(false)
        .run(connection)
        .map_err(failed)?;
    connection.set_transaction_behavior(TransactionBehavior::Deferred);
    Ok(())
}

fn latest() -> u32 {
    MIGRATIONS.last().map_or(0, |(version, ..)| *version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn migrations_are_numbered_in_order_and_named_by_their_number() {
        assert!(MIGRATIONS.is_sorted_by(|a, b| a.0 < b.0));
        for (version, name, sql) in MIGRATIONS {
            let migration = Migration::unapplied(name, sql).unwrap();
            assert_eq!(u32::try_from(migration.version()).unwrap(), *version);
        }
    }

    #[test]
    fn events_of_before_skipping_are_as_they_were_and_only_failed_ones_can_be_skipped() {
        let connection = Connection::open_in_memory().unwrap();
        let sql = |version| MIGRATIONS.iter().find(|(of, ..)| *of == version).unwrap().2;
        connection.execute_batch(sql(1)).unwrap();
        let insert = "
            INSERT INTO outbox (id, user_id, shard, kind, payload, status, attempts, created_at,
                                delivered_at)
            VALUES (randomblob(16), randomblob(16), 0, 'registration', x'00', ?, 5, 1, ?)";
        for (status, delivered) in [("inProgress", None), ("Success", Some(2)), ("Failed", None)] {
            connection.execute(insert, (status, delivered)).unwrap();
        }
        connection.execute_batch(sql(6)).unwrap();
        let count = |what: &str| -> i64 {
            let sql = format!("SELECT count(*) FROM outbox WHERE {what}");
            connection.query_row(&sql, [], |row| row.get(0)).unwrap()
        };
        assert_eq!(count("attempts = 5 AND skipped_at IS NULL"), 3);
        let skip = |status: &str| {
            let sql = "UPDATE outbox SET skipped_at = 3 WHERE status = ?";
            connection.execute(sql, [status])
        };
        assert!(skip("inProgress").is_err() && skip("Success").is_err());
        assert_eq!(skip("Failed").unwrap(), 1);
    }

    #[test]
    fn the_mark_is_the_one_that_is_looked_for() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(MARK).unwrap();
        let mark: i64 = one(&connection, MARKED, [], scalar).unwrap();
        assert_eq!(mark, APPLICATION);
    }

    #[test]
    fn revocations_survive_the_migration_of_the_keys_and_their_ids_go_on() {
        let connection = Connection::open_in_memory().unwrap();
        let before = MIGRATIONS.iter().take_while(|(version, ..)| *version < 3);
        for (_, _, sql) in before {
            connection.execute_batch(sql).unwrap();
        }
        connection
            .execute_batch(
                "INSERT INTO revocations (id, kind, subject, version, until) VALUES
                     (7, 'session', zeroblob(16), NULL, 5), (9, 'user', zeroblob(16), 3, 6);
                 DELETE FROM revocations WHERE id = 9;",
            )
            .unwrap();
        let (_, _, keys) = MIGRATIONS
            .iter()
            .find(|(version, ..)| *version == 3)
            .unwrap();
        connection.execute_batch(keys).unwrap();
        connection
            .execute_batch(
                "INSERT INTO revocations (kind, subject, until) VALUES ('key', zeroblob(16), 7)",
            )
            .unwrap();
        let rows = all(
            &connection,
            "SELECT id, kind, until FROM revocations ORDER BY id",
            [],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        );
        let rows: Vec<(i64, String, i64)> = rows.unwrap();
        let expected = [(7, "session".to_owned(), 5), (10, "key".to_owned(), 7)];
        assert_eq!(rows, expected);
        let min: i64 = one(&connection, MIN_VERSION, [], scalar).unwrap();
        assert_eq!(min, 3);
    }

    #[test]
    fn every_statement_can_be_prepared() {
        let mut connection = Connection::open_in_memory().unwrap();
        run(&mut connection, Path::new("memory")).unwrap();
        let modules = [
            crate::users::STATEMENTS,
            crate::sessions::STATEMENTS,
            crate::outbox::STATEMENTS,
            crate::keys::STATEMENTS,
            crate::revocations::STATEMENTS,
            crate::audit::STATEMENTS,
            crate::lifecycle::STATEMENTS,
            crate::networks::STATEMENTS,
            crate::lives::STATEMENTS,
            &[OBJECTS, HAS_HISTORY, HISTORY, MIN_VERSION],
        ];
        for sql in modules
            .concat()
            .into_iter()
            .chain(crate::dump::statements())
        {
            connection.prepare(sql).unwrap();
        }
    }
}
