//! Why a database could not be opened.

use std::{io, path::PathBuf};

use rusqlite::ErrorCode;

use crate::fault::Fault;

/// Why a data folder or its database could not be opened: one sentence with the remedy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The folder is not there and cannot be made, or cannot be written.
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
    /// Another server serves this folder.
    #[error(
        "another server already runs on the data folder {}: stop it, or choose another data_dir",
        .folder.display()
    )]
    Locked {
        /// The data folder.
        folder: PathBuf,
    },
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
                Self::Folder {
                    folder: file.parent().map(PathBuf::from).unwrap_or_default(),
                    source: io::Error::other(fault),
                }
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
