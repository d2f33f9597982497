//! Why a database could not be opened.

use std::{io, path::PathBuf};

use rusqlite::ErrorCode;

use crate::{fault::Fault, folder::Folder};

/// Why a data folder or its database could not be opened: one sentence with the remedy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The folder, or a file in it, cannot be used.
    #[error(transparent)]
    Folder(Unusable),
    /// Somebody else works on this folder.
    #[error(transparent)]
    Locked(Taken),
    /// There is nothing to be copied.
    #[error("there is no database in {}: choose another data_dir", .folder.display())]
    Absent {
        /// The data folder.
        folder: PathBuf,
    },
    /// Everything was copied to another database, and goes on there.
    #[error(
        "the database in {} was copied to {to}, and goes on there: set database.url to that, or \
         remove the file moved-to to go back to what it was then",
        .folder.display()
    )]
    Moved {
        /// The data folder.
        folder: PathBuf,
        /// Where it is now.
        to: String,
    },
    /// The file is there and is no SQLite database at all.
    #[error(
        "{} is not a database: move it away to start with an empty one, or restore a backup",
        .file.display()
    )]
    NotADatabase {
        /// The database file.
        file: PathBuf,
    },
    /// The file is a database, and another program's.
    #[error(
        "{} is a database of another program: choose another data_dir",
        .file.display()
    )]
    Foreign {
        /// The database file.
        file: PathBuf,
    },
    /// The file is a damaged database.
    #[error("the database {} is damaged ({source}): restore a backup", .file.display())]
    Corrupt {
        /// The database file.
        file: PathBuf,
        /// What was found.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The schema is newer than this program can serve.
    #[error(
        "the database {} has schema {found} and needs a program that knows schema {needed} or \
         later, this one knows {known}: use the newer version of this program",
        .file.display()
    )]
    Newer {
        /// The database file.
        file: PathBuf,
        /// Its schema.
        found: u32,
        /// The lowest schema that a program must know to serve it.
        needed: u32,
        /// The latest schema that this program knows.
        known: u32,
    },
    /// The schema is older than this program's, and it was told not to migrate.
    #[error(
        "the database {} has schema {found} and this program needs {needed}: run `sso migrate up`, \
         or set database.migrate to true",
        .file.display()
    )]
    Behind {
        /// The database file.
        file: PathBuf,
        /// Its schema.
        found: u32,
        /// The latest schema that this program knows.
        needed: u32,
    },
    /// A migration failed. It left nothing behind.
    #[error("the database {} cannot be migrated ({source}): nothing was changed", .file.display())]
    Migration {
        /// The database file.
        file: PathBuf,
        /// What failed.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The database is busy, its disk is full or fails.
    #[error(
        "the database {} is not available ({source}): see to the disk, or to the program that \
         keeps it locked, and try again",
        .file.display()
    )]
    Unavailable {
        /// The database file.
        file: PathBuf,
        /// What SQLite or the system says.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Why a data folder cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unusable {
    /// It is not there and cannot be made, or cannot be written.
    #[error(
        "the data folder {} cannot be created or written ({source}): choose another data_dir, or \
         give this user the right to write there",
        .folder.display()
    )]
    Folder {
        /// The data folder.
        folder: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It, or one of the folders that it lies in, is a file.
    #[error("{} is a file where a folder is needed: choose another data_dir", .file.display())]
    NoFolder {
        /// What is no folder.
        file: PathBuf,
    },
    /// A file in it is kept from this user: somebody else has made it, mostly root by a command.
    #[error(
        "the file {} cannot be opened ({source}), it belongs to user {owner} and has mode \
         {mode:03o}: give it to the user that the service runs as (chown, chmod 600), and run this \
         as that user",
        .file.display()
    )]
    File {
        /// The file.
        file: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Who may do what with it.
        mode: u32,
        /// What the system says.
        source: io::Error,
    },
}

/// Why nobody can have a data folder to himself.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Taken {
    /// Another server serves it.
    #[error(
        "another server already runs on the data folder {}: stop it, or choose another data_dir",
        .folder.display()
    )]
    ToServe {
        /// The data folder.
        folder: PathBuf,
    },
    /// A server serves what is to be copied, or another copy is made.
    #[error(
        "a server runs on the data folder {}, or another copy of it is under way: stop the server, \
         or let the copy end, and run this again",
        .folder.display()
    )]
    ToCopy {
        /// The data folder.
        folder: PathBuf,
    },
}

impl OpenError {
    /// What SQLite says of `file`, sorted.
    pub(crate) fn of(file: PathBuf, fault: Fault) -> Self {
        let code = match &fault {
            Fault::Sql(error) => error.sqlite_error_code(),
            _ => Some(ErrorCode::DatabaseCorrupt),
        };
        match code {
            Some(ErrorCode::NotADatabase) => Self::NotADatabase { file },
            Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
                Self::Folder(Folder::of(&file).blame(io::Error::other(fault)))
            }
            Some(
                ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::DiskFull
                | ErrorCode::SystemIoFailure
                | ErrorCode::OutOfMemory
                | ErrorCode::FileLockingProtocolFailed,
            ) => Self::Unavailable {
                file,
                source: fault.into(),
            },
            _ => Self::Corrupt {
                file,
                source: fault.into(),
            },
        }
    }
}
