use std::{
    fs::File,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use rusqlite::Connection;
use sso_core::ports::{
    Store, StoreError, Tx,
    store::{LoggedIn, NewLogin},
};

use crate::{
    OpenError, READS, connection,
    fault::{Fault, Stopped},
    folder::Folder,
    migrations,
    reader::Readers,
    revocations::{self, Seen},
    tx::SqliteTx,
    writer::Writer,
};

const READER_THREADS: usize = 2;

/// Who opens the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The server: one for each folder.
    Server,
    /// A command, beside the server or without one.
    Command,
}

/// The bounds of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most requests that wait for the writing thread, and for the reading threads.
    pub queue: usize,
    /// How long a request waits for a place in a full queue before it is refused.
    pub patience: Duration,
    /// Most requests that are committed together.
    pub group: usize,
    /// How long a transaction may keep the writing thread waiting for its next step before it is
    /// rolled back.
    pub transaction_idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            queue: 1024,
            patience: Duration::from_secs(1),
            group: 128,
            transaction_idle: Duration::from_secs(2),
        }
    }
}

/// Where the database is and how it is opened.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The data folder; made if it is not there.
    pub folder: PathBuf,
    /// Who opens it.
    pub role: Role,
    /// Whether to bring an older schema up to date; if not, it is refused.
    pub migrate: bool,
    /// The bounds.
    pub limits: Limits,
}

/// The embedded database. Dropping it ends its threads and releases the folder, once the last
/// transaction is gone.
pub struct SqliteStore {
    pub(crate) shared: Arc<Shared>,
}

// Fields are dropped in their order: the folder is free when nothing uses it any more.
pub(crate) struct Shared {
    pub(crate) role: Role,
    pub(crate) folder: Folder,
    pub(crate) seen: Mutex<Seen>,
    readers: Readers,
    pub(crate) feed: Readers,
    pub(crate) writer: Writer,
    _serving: Option<File>,
}

impl SqliteStore {
    /// Opens, and migrates if it is told to. Blocks for a few milliseconds, and for seconds where
    /// another program is migrating.
    pub fn open(settings: &Settings) -> Result<Self, OpenError> {
        let folder = Folder::create(&settings.folder)?;
        folder.refuse_if_moved()?;
        let serving = match settings.role {
            Role::Server => Some(folder.lock_to_serve()?),
            Role::Command => None,
        };
        // A copy may have ended while the lock was waited for.
        folder.refuse_if_moved()?;
        let file = folder.database();
        let of = |fault| OpenError::of(file.clone(), fault);
        let mut connection = connection::writer(&file).map_err(of)?;
        {
            let _migrating = folder.lock_to_migrate()?;
            migrations::prepare(&mut connection, &file, settings.migrate)?;
        }
        if settings.role == Role::Server {
            revocations::forget_readers(&connection).map_err(of)?;
        }
        let reader = || connection::reader(&file).map_err(of);
        let readers = (0..READER_THREADS)
            .map(|_| reader())
            .collect::<Result<_, _>>()?;
        let threads = |source: std::io::Error| OpenError::Unavailable {
            file: file.clone(),
            source: source.into(),
        };
        let limits = &settings.limits;
        Ok(Self {
            shared: Arc::new(Shared {
                role: settings.role,
                seen: Mutex::default(),
                readers: Readers::start("sqlite-reader", readers, limits).map_err(threads)?,
                feed: Readers::start("sqlite-feed", vec![reader()?], limits).map_err(threads)?,
                writer: Writer::start(connection, folder.clone(), limits).map_err(threads)?,
                folder,
                _serving: serving,
            }),
        })
    }

    /// How often the writing thread committed: each is one fsync for a group of requests.
    pub fn commits(&self) -> u64 {
        self.shared.writer.commits()
    }

    /// Reads what is committed now: here every read is as fresh as can be.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        metrics::counter!(READS, "role" => "primary").increment(1);
        self.shared.readers.read(read).await
    }

    /// A transaction of one message.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        write: impl FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.shared.writer.write(write).await
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn begin(&self) -> Result<Box<dyn Tx>, StoreError> {
        Ok(Box::new(SqliteTx::new(Arc::clone(&self.shared))))
    }

    async fn log_in(&self, login: &NewLogin<'_>) -> Result<Option<LoggedIn>, StoreError> {
        self.log_in_at_once(login).await
    }

    /// How the threads are, and how the writer fared last. Nothing is asked of them: a long queue is
    /// not an outage.
    async fn ping(&self) -> Result<(), StoreError> {
        self.shared.writer.health()?;
        if self.shared.readers.are_running() {
            Ok(())
        } else {
            Err(StoreError::unavailable(Stopped))
        }
    }
}
