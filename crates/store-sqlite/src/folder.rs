//! The data folder: its files, and who may use them at once.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use crate::OpenError;

/// The database's file in the data folder.
pub const DATABASE: &str = "sso.db";
const SERVE_LOCK: &str = "serve.lock";
const MIGRATE_LOCK: &str = "migrate.lock";
/// Holds where everything was copied to.
const MOVED: &str = "moved-to";

/// A command holds the server's lock for an instant to see whether it is free.
const SERVE_ATTEMPTS: u32 = 5;
/// Ten seconds: longer than a migration of a large database should keep others out.
const MIGRATE_ATTEMPTS: u32 = 200;
const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(50);

/// A folder that exists.
#[derive(Debug, Clone)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// The folder, made with rights for its owner only if it was not there.
    pub(crate) fn create(path: &Path) -> Result<Self, OpenError> {
        let folder = Self::at(path);
        folder.make().map_err(|source| folder.unusable(source))?;
        Ok(folder)
    }

    /// The folder, whether it is there or not.
    pub(crate) fn at(path: &Path) -> Self {
        // SQLite reads a relative name that starts with `file:` as a URI.
        Self(std::path::absolute(path).unwrap_or_else(|_| path.to_owned()))
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.0.join(DATABASE)
    }

    /// The exclusive right to serve this folder, until it is dropped.
    pub(crate) fn lock_to_serve(&self) -> Result<File, OpenError> {
        let file = self.open_lock(SERVE_LOCK)?;
        if self.try_lock(&file, SERVE_ATTEMPTS)? {
            Ok(file)
        } else {
            Err(OpenError::Locked {
                folder: self.0.clone(),
            })
        }
    }

    /// Whether a server runs on this folder.
    pub(crate) fn is_served(&self) -> io::Result<bool> {
        match File::open(self.0.join(SERVE_LOCK)).map(|file| file.try_lock_shared()) {
            Ok(Ok(())) => Ok(false),
            Ok(Err(TryLockError::WouldBlock)) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Ok(Err(TryLockError::Error(error))) | Err(error) => Err(error),
        }
    }

    /// Fails if everything in it was copied elsewhere.
    pub(crate) fn refuse_if_moved(&self) -> Result<(), OpenError> {
        match fs::read_to_string(self.0.join(MOVED)) {
            Ok(to) => Err(OpenError::Moved {
                folder: self.0.clone(),
                to: to.trim().to_owned(),
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(source) => Err(self.unusable(source)),
        }
    }

    /// From now on nobody works on it: everything in it was copied to `to`.
    pub(crate) fn mark_moved(&self, to: &str) -> Result<(), OpenError> {
        let write = || {
            // Written beside and renamed: nobody reads half of it.
            let draft = self.0.join("moved-to.new");
            let mut file = File::create(&draft)?;
            file.write_all(format!("{to}\n").as_bytes())?;
            file.sync_all()?;
            fs::rename(&draft, self.0.join(MOVED))?;
            File::open(&self.0)?.sync_all()
        };
        write().map_err(|source| self.unusable(source))
    }

    /// The exclusive right to migrate its database, until it is dropped.
    pub(crate) fn lock_to_migrate(&self) -> Result<File, OpenError> {
        let file = self.open_lock(MIGRATE_LOCK)?;
        if self.try_lock(&file, MIGRATE_ATTEMPTS)? {
            Ok(file)
        } else {
            Err(OpenError::Unavailable {
                file: self.database(),
                source: "another program is migrating it".into(),
            })
        }
    }

    fn make(&self) -> io::Result<()> {
        if let Some(parent) = self.0.parent() {
            fs::create_dir_all(parent)?;
        }
        match DirBuilder::new().mode(0o700).create(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && self.0.is_dir() => {}
            other => other?,
        }
        // SQLite would make it readable for everybody. An empty file is an empty database, and its
        // other files get the rights of this one.
        private(&self.database()).map(|_| ())
    }

    fn open_lock(&self, name: &str) -> Result<File, OpenError> {
        private(&self.0.join(name)).map_err(|source| self.unusable(source))
    }

    fn try_lock(&self, file: &File, attempts: u32) -> Result<bool, OpenError> {
        for attempt in 0..attempts {
            if attempt > 0 {
                thread::park_timeout(BETWEEN_ATTEMPTS);
            }
            match file.try_lock() {
                Ok(()) => return Ok(true),
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(source)) => return Err(self.unusable(source)),
            }
        }
        Ok(false)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    fn unusable(&self, source: io::Error) -> OpenError {
        OpenError::Folder {
            folder: self.0.clone(),
            source,
        }
    }
}

fn private(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
}
