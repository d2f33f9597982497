//! What a database of a service is made by, and how it is opened.

use std::path::{Path, PathBuf};

use sso_telemetry::statements::Family;
use tokio::time::timeout;
use tracing::Instrument;

use super::{
    Database, DatabaseUrl, StoreError,
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

    /// Waits for what is asked of it at once, and not for longer than its limit: then it may be done or
    /// not. (SQLite's limits are at its doors: what has begun there ends.)
    pub async fn limited<T>(
        &self,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        match self {
            Self::Sqlite(_) => work.await,
            Self::Postgres(postgres) => timeout(postgres.limit, work).await.unwrap_or_else(|_| {
                Err(StoreError::Unavailable(
                    "it does not answer in time".to_owned(),
                ))
            }),
        }
    }

    /// The same as one span and one duration: `operation` (`INSERT`, `SELECT`, ..) on `table`. Without a
    /// caller that has a span, who may be in the trace of the request that caused an event, it has none.
    pub async fn observed<T>(
        &self,
        operation: &'static str,
        table: &'static str,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let statement = Family { operation, table }.start(self.system());
        let done = self
            .limited(work)
            .instrument(statement.span().clone())
            .await;
        statement.end(done)
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
