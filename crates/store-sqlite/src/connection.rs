//! Connections and their settings.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use crate::fault::Fault;

/// More than there are statements.
const CACHED_STATEMENTS: usize = 128;

// cache_size is in KiB where it is negative. synchronous=FULL: a commit is on the disk when it
// returns, also in WAL mode. The other program that busy_timeout waits for is a command.
const COMMON: &str = "
    PRAGMA busy_timeout = 5000;
    PRAGMA foreign_keys = ON;
    PRAGMA synchronous = FULL;
    PRAGMA temp_store = MEMORY;
    PRAGMA mmap_size = 0;
    PRAGMA trusted_schema = OFF;
    PRAGMA cell_size_check = ON;";

// secure_delete: what is deleted is overwritten, so that a user who is gone is gone from the file.
const OF_WRITER: &str = "
    PRAGMA secure_delete = ON;
    PRAGMA cache_size = -1024;
    PRAGMA journal_size_limit = 8388608;";

const OF_READER: &str = "
    PRAGMA cache_size = -512;
    PRAGMA query_only = ON;";

/// The connection that writes. The file must exist.
pub(crate) fn writer(file: &Path) -> Result<Connection, Fault> {
    let connection = open(file, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.execute_batch(OF_WRITER)?;
    Ok(connection)
}

/// A connection that reads.
pub(crate) fn reader(file: &Path) -> Result<Connection, Fault> {
    let connection = open(file, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.execute_batch(OF_READER)?;
    Ok(connection)
}

fn open(file: &Path, mode: OpenFlags) -> Result<Connection, Fault> {
    let flags = mode | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(file, flags)?;
    connection.set_prepared_statement_cache_capacity(CACHED_STATEMENTS);
    connection.execute_batch(COMMON)?;
    Ok(connection)
}
