//! What a database of a service is made by, and how it is opened.

use std::path::{Path, PathBuf};

use super::{
    Database, DatabaseUrl,
    postgres::Postgres,
    sqlite::{Role, Sqlite},
};
use crate::Failed;

/// The migrations of a service: the text of version 1, 2, ...
pub type Migrations = &'static [&'static str];

/// The tables of a service in both databases.
#[derive(Debug, Clone, Copy)]
pub struct Schema {
    /// Whose they are: the file of SQLite and the connections to PostgreSQL are called so.
    pub program: &'static str,
    /// In SQLite.
    pub sqlite: Migrations,
    /// In PostgreSQL.
    pub postgres: Migrations,
}

/// A database that is open and of the right version.
#[derive(Clone)]
pub enum Opened {
    /// For one instance.
    Sqlite(Sqlite),
    /// Shared by all instances.
    Postgres(Postgres),
}

impl Opened {
    /// Its kind, as spans name it (`db.system.name`).
    pub const fn system(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => "sqlite",
            Self::Postgres(_) => "postgresql",
        }
    }
}

impl Schema {
    /// Opens the database, and brings it to its version if it may.
    pub async fn open(
        &self,
        settings: &Database,
        data_dir: &Path,
        role: Role,
    ) -> Result<Opened, Failed> {
        Ok(match &settings.url {
            DatabaseUrl::Postgres(url) => {
                let opened = Postgres::open(url, settings, self.program, self.postgres).await?;
                Opened::Postgres(opened)
            }
            DatabaseUrl::Sqlite(_) => {
                let (file, migrate) = (self.file(settings, data_dir), settings.migrate);
                let opened = Sqlite::open(&file, self.sqlite, migrate, role, settings.timeout)?;
                Opened::Sqlite(opened)
            }
        })
    }

    /// Brings the database to its version; which that is.
    pub(crate) async fn migrate(
        &self,
        settings: &Database,
        data_dir: &Path,
    ) -> Result<u32, Failed> {
        let settings = Database {
            migrate: true,
            ..settings.clone()
        };
        self.open(&settings, data_dir, Role::Command).await?;
        Ok(self.versions(&settings, data_dir).await?.0)
    }

    /// The version of the database and the one that this binary needs.
    pub(crate) async fn versions(
        &self,
        settings: &Database,
        data_dir: &Path,
    ) -> Result<(u32, u32), Failed> {
        match &settings.url {
            DatabaseUrl::Postgres(url) => {
                let pool = Postgres::connect(url, settings, self.program)?;
                pool.versions(self.postgres).await
            }
            DatabaseUrl::Sqlite(_) => Sqlite::versions(&self.file(settings, data_dir), self.sqlite),
        }
    }

    fn file(&self, settings: &Database, data_dir: &Path) -> PathBuf {
        match &settings.url {
            DatabaseUrl::Sqlite(Some(file)) => file.clone(),
            DatabaseUrl::Sqlite(None) | DatabaseUrl::Postgres(_) => {
                data_dir.join(format!("{}.db", self.program))
            }
        }
    }
}
