//! Connections and their settings.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, config::DbConfig};

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
    // Else a statement that may use a partial index is compiled anew for every value that is bound.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.execute_batch(COMMON)?;
    Ok(connection)
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::*;

    #[test]
    fn a_statement_is_not_compiled_again_for_another_value() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let connection = writer(file.path()).unwrap();
        let made = "CREATE TABLE t (a, b); CREATE INDEX i ON t (a) WHERE b = 'x';";
        connection.execute_batch(made).unwrap();
        let mut statement = connection
            .prepare("SELECT a FROM t WHERE a = ?1 AND b = ?2")
            .unwrap();
        for value in 0..3 {
            let found = statement.exists((value, "x")).unwrap();
            assert!(!found);
        }
        assert_eq!(statement.get_status(StatementStatus::RePrepare), 0);
    }
}
