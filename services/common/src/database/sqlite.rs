//! SQLite: one connection, used by one task at a time; what only reads and takes long has its own.

use std::{
    fs::{DirBuilder, File, TryLockError},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior};
use tokio::{sync::Semaphore, task::spawn_blocking, time::timeout};

use super::{Migrations, StoreError, judge_version, needed};
use crate::{Exit, Failed};

/// How long a statement waits for another process, such as a command beside the server.
const BUSY: Duration = Duration::from_secs(5);
/// Most tasks that wait for the connection; more are refused at once.
const MAX_WAITING: usize = 1000;

/// A database in a file. Cheap to clone.
#[derive(Clone)]
pub struct Sqlite {
    file: Arc<PathBuf>,
    connection: Arc<Mutex<Connection>>,
    turn: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    patience: Duration,
    /// Held by the one process that serves.
    _lock: Option<Arc<File>>,
}

/// Whether this process serves, or is a command beside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The only one of its kind on this file.
    Server,
    /// A command.
    Command,
}

impl Sqlite {
    /// Opens or creates the file (0600; its folder 0700), and brings it to its version if it may.
    pub fn open(
        file: &Path,
        migrations: Migrations,
        migrate: bool,
        role: Role,
        patience: Duration,
    ) -> Result<Self, Failed> {
        let lock = match role {
            Role::Server => Some(Arc::new(lock(file)?)),
            Role::Command => None,
        };
        let cannot = |error: &dyn std::fmt::Display| {
            let text = format!("{} cannot be opened: {error}", file.display());
            Failed::new(Exit::Unavailable, text)
        };
        create(file).map_err(|error| cannot(&error))?;
        let mut connection = Connection::open(file).map_err(|error| cannot(&error))?;
        prepare(&connection).map_err(|error| of(&error))?;
        if migrate {
            advance(&mut connection, migrations).map_err(|error| of(&error))?;
        }
        let found = version(&connection).map_err(|error| of(&error))?;
        judge_version(found, needed(migrations))?;
        Ok(Self {
            file: Arc::new(file.to_owned()),
            connection: Arc::new(Mutex::new(connection)),
            turn: Arc::new(Semaphore::new(1)),
            waiting: Arc::new(Semaphore::new(MAX_WAITING)),
            patience,
            _lock: lock,
        })
    }

    /// The version of a file, and the one that is needed; 0: there is none.
    pub fn versions(file: &Path, migrations: Migrations) -> Result<(u32, u32), Failed> {
        let found = if file.exists() {
            let connection = Connection::open(file).map_err(|error| of(&error))?;
            version(&connection).map_err(|error| of(&error))?
        } else {
            0
        };
        Ok((found, needed(migrations)))
    }

    /// Runs `work` in a transaction that is committed, and on the disk, when this returns `Ok`.
    pub async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let busy = || StoreError::Unavailable("too much is to be stored at once".to_owned());
        let _place = self.waiting.try_acquire().map_err(|_| busy())?;
        let turn = Arc::clone(&self.turn).acquire_owned();
        let turn = timeout(self.patience, turn).await.map_err(|_| busy())?;
        let turn = turn.map_err(|_| busy())?;
        let connection = Arc::clone(&self.connection);
        let done = spawn_blocking(move || {
            // Until it is done, also if nobody waits any more.
            let _turn = turn;
            let mut connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let value = work(&transaction)?;
            transaction.commit()?;
            Ok(value)
        });
        let done = done
            .await
            .map_err(|error| StoreError::Refused(error.to_string()))?;
        done.map_err(|error| of(&error))
    }

    /// Runs `work` on what is committed now, over a connection of its own: for what takes long. Nobody waits
    /// for it, and it waits for nobody.
    pub async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let file = Arc::clone(&self.file);
        let done = spawn_blocking(move || {
            let only_reads = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let mut connection = Connection::open_with_flags(file.as_path(), only_reads)?;
            connection.busy_timeout(BUSY)?;
            work(&connection.transaction()?)
        });
        let done = done
            .await
            .map_err(|error| StoreError::Refused(error.to_string()))?;
        done.map_err(|error| of(&error))
    }
}

fn create(file: &Path) -> std::io::Result<()> {
    if let Some(folder) = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
    }
    File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(file)
        .map(drop)
}

fn lock(file: &Path) -> Result<File, Failed> {
    let mut name = file.as_os_str().to_owned();
    name.push(".lock");
    let name = PathBuf::from(name);
    let cannot = |why: &dyn std::fmt::Display| {
        let text = format!("{} cannot be locked: {why}", name.display());
        Failed::new(Exit::Unavailable, text)
    };
    create(&name).map_err(|error| cannot(&error))?;
    let lock = File::open(&name).map_err(|error| cannot(&error))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(cannot(&"another process serves on this database")),
        Err(TryLockError::Error(error)) => Err(cannot(&error)),
    }
}

fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // What is acknowledged to Kafka must outlive a power cut.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "secure_delete", true)
}

fn version(connection: &Connection) -> rusqlite::Result<u32> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

fn advance(connection: &mut Connection, migrations: Migrations) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found = version(&transaction)?;
    for (number, text) in (1..).zip(migrations).filter(|(number, _)| *number > found) {
        transaction.execute_batch(text)?;
        transaction.pragma_update(None, "user_version", number)?;
    }
    transaction.commit()
}

fn of(error: &rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::DiskFull) => {
            StoreError::Unavailable(error.to_string())
        }
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            StoreError::Damaged(error.to_string())
        }
        _ => StoreError::Refused(error.to_string()),
    }
}
