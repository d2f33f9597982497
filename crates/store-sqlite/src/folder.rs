//! The data folder: its files, and who may use them at once.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use crate::{
    OpenError,
    error::{Taken, Unusable},
};

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

/// The database's files, as SQLite names those beside it.
const DATABASE_FILES: [&str; 3] = [DATABASE, "sso.db-wal", "sso.db-shm"];

/// A folder that exists.
#[derive(Debug, Clone)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// The folder, made with rights for its owner only if it was not there.
    pub(crate) fn create(path: &Path) -> Result<Self, OpenError> {
        let folder = Self::at(path);
        folder.make().map_err(|source| folder.unusable(source))?;
        // SQLite would make it readable for everybody. An empty file is an empty database, and its
        // other files get the rights of this one.
        folder.open(DATABASE)?;
        Ok(folder)
    }

    /// The one that `file` lies in.
    pub(crate) fn of(file: &Path) -> Self {
        Self(file.parent().map(PathBuf::from).unwrap_or_default())
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
        self.lock_alone()?.ok_or_else(|| {
            OpenError::Locked(Taken::ToServe {
                folder: self.0.clone(),
            })
        })
    }

    /// The same right for who copies what is there: nobody serves it meanwhile.
    pub(crate) fn lock_to_copy(&self) -> Result<File, OpenError> {
        self.lock_alone()?.ok_or_else(|| {
            OpenError::Locked(Taken::ToCopy {
                folder: self.0.clone(),
            })
        })
    }

    /// `None`: somebody else has it.
    fn lock_alone(&self) -> Result<Option<File>, OpenError> {
        let file = self.open(SERVE_LOCK)?;
        Ok(self.try_lock(&file, SERVE_ATTEMPTS)?.then_some(file))
    }

    /// Whether a server runs on this folder.
    pub(crate) fn is_served(&self) -> io::Result<bool> {
        match File::open(self.0.join(SERVE_LOCK)).map(|file| file.try_lock_shared()) {
            Ok(Ok(())) => Ok(false),
            Ok(Err(TryLockError::WouldBlock)) => Ok(true),
            Err(error) if is_absence(&error) => Ok(false),
            Ok(Err(TryLockError::Error(error))) | Err(error) => Err(error),
        }
    }

    /// Fails if everything in it was copied elsewhere.
    pub(crate) fn refuse_if_moved(&self) -> Result<(), OpenError> {
        let file = self.0.join(MOVED);
        match fs::read_to_string(&file) {
            Ok(to) => Err(OpenError::Moved {
                folder: self.0.clone(),
                to: to.trim().to_owned(),
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(source) => Err(self.unopened(file, source)),
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
        let file = self.open(MIGRATE_LOCK)?;
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
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && self.0.is_dir() => Ok(()),
            made => made,
        }
    }

    /// A file in it, made for its owner only if it was not there.
    fn open(&self, name: &str) -> Result<File, OpenError> {
        let file = self.0.join(name);
        private(&file).map_err(|source| self.unopened(file, source))
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

    /// Who keeps SQLite out, which does not say it: the first of the database's files that this user may not
    /// open, else the folder. For who gives up: the locks that this process has on them are gone with it.
    pub(crate) fn blame(&self, source: io::Error) -> Unusable {
        let files = DATABASE_FILES.map(|name| self.0.join(name));
        let is_kept = |file: &PathBuf| {
            let opened = OpenOptions::new().read(true).write(true).open(file);
            opened.is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
        };
        match files.into_iter().find(is_kept) {
            Some(file) => self.kept(file, source),
            None => self.why(source),
        }
    }

    fn unopened(&self, file: PathBuf, source: io::Error) -> OpenError {
        OpenError::Folder(if source.kind() == io::ErrorKind::PermissionDenied {
            self.kept(file, source)
        } else {
            self.why(source)
        })
    }

    fn unusable(&self, source: io::Error) -> OpenError {
        OpenError::Folder(self.why(source))
    }

    /// A file that is there is kept by its owner and its mode; one that is not, by the folder.
    fn kept(&self, file: PathBuf, source: io::Error) -> Unusable {
        match fs::metadata(&file) {
            Ok(metadata) => Unusable::File {
                file,
                owner: metadata.uid(),
                mode: metadata.mode() & 0o777,
                source,
            },
            Err(_) => self.why(source),
        }
    }

    fn why(&self, source: io::Error) -> Unusable {
        match self.0.ancestors().find(|path| path.is_file()) {
            Some(file) => Unusable::NoFolder {
                file: file.to_owned(),
            },
            None => Unusable::Folder {
                folder: self.0.clone(),
                source,
            },
        }
    }
}

/// Whether there is no such file; also where a part of its path is no folder.
fn is_absence(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Root may open everything: what the system would say to others is given here.
    #[test]
    fn a_file_that_is_kept_from_us_is_named_and_one_that_is_not_there_is_the_folders_fault() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = Folder::at(temporary.path());
        let file = temporary.path().join(DATABASE);
        let told = || {
            let source = io::Error::from(io::ErrorKind::PermissionDenied);
            folder.unopened(file.clone(), source).to_string()
        };
        let of_folder = format!("the data folder {}", temporary.path().display());
        assert!(told().starts_with(&of_folder), "{}", told());
        drop(private(&file).unwrap());
        let of_file = format!("the file {} cannot be opened", file.display());
        assert!(told().starts_with(&of_file), "{}", told());
        assert!(told().contains("has mode 600: give it"), "{}", told());
    }
}
