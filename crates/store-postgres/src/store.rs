use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use metrics::counter;
use sso_core::ports::{
    Store, StoreError, Tx,
    store::{Freshness, LoggedIn, NewLogin},
};

use crate::{
    MigrationStatus, PRIMARY, READS, REPLICA, RETRIES, SchemaError,
    error::Fault,
    leases::Leases,
    migrations,
    query::{self, Decode, Params},
    rotation::Rotations,
    servers::{self, Connection, Servers},
    tx::PostgresTx,
};

const PING: &str = "SELECT count(*) FROM compatibility";

/// Longest wait for a replica's answer: it may hang and nobody has noticed yet. The primary is
/// asked then.
const REPLICA_PATIENCE: Duration = Duration::from_secs(1);

/// How often a statement is sent again when it certainly did nothing.
pub(crate) const ATTEMPTS: usize = 4;

/// The bounds of the store, beside those of [`servers::Settings`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest wait for the answer to a COMMIT, which may wait for a standby and is not ended by
    /// the server's `statement_timeout`. After it nobody can say what became of it.
    pub commit: Duration,
    /// Longest wait for the primary to say what became of a COMMIT whose answer was lost.
    pub lookup: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            commit: Duration::from_secs(5),
            lookup: Duration::from_secs(5),
        }
    }
}

/// Why the store cannot be opened: one sentence with the remedy.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The servers.
    #[error(transparent)]
    Servers(#[from] servers::OpenError),
    /// What is on them.
    #[error(transparent)]
    Schema(#[from] SchemaError),
}

/// The database. Cheap to clone.
#[derive(Clone)]
pub struct PostgresStore {
    pub(crate) shared: Arc<Shared>,
    pub(crate) leases: Option<Leases>,
}

pub(crate) struct Shared {
    pub(crate) servers: Servers,
    pub(crate) limits: Limits,
    /// See [`query::patience`].
    pub(crate) patience: Duration,
    pub(crate) rotations: Rotations,
}

impl PostgresStore {
    /// Reaches the servers, and migrates if it is told to.
    pub async fn open(
        settings: &servers::Settings,
        limits: Limits,
        migrate: bool,
    ) -> Result<Self, OpenError> {
        let servers = Servers::open(settings).await?;
        let connection = servers.primary().await.map_err(unreachable)?;
        if !migrations::may_serve(&connection, migrate).await? {
            let mut connection = servers.dedicated().await.map_err(unreachable)?;
            migrations::migrate(&mut connection).await?;
        }
        drop(connection);
        Ok(Self {
            shared: Arc::new(Shared {
                servers,
                limits,
                patience: query::patience(settings.statement_timeout),
                rotations: Rotations::default(),
            }),
            leases: None,
        })
    }

    /// Looks at the schema and changes nothing.
    pub async fn migration_status(
        settings: &servers::Settings,
    ) -> Result<MigrationStatus, OpenError> {
        let servers = Servers::open(settings).await?;
        let connection = servers.primary().await.map_err(unreachable)?;
        Ok(MigrationStatus::of(&connection).await?)
    }

    /// The servers that it is on.
    pub fn servers(&self) -> &Servers {
        &self.shared.servers
    }

    /// Rows from the primary, decoded.
    pub(crate) async fn read_all<T>(
        &self,
        sql: &'static str,
        params: Params<'_>,
        decode: Decode<T>,
    ) -> Result<Vec<T>, StoreError> {
        counter!(READS, "role" => PRIMARY).increment(1);
        self.poll_all(sql, params, decode).await
    }

    /// [`Self::read_all`] of a loop that looks again and again: not counted, as an idle service
    /// would seem to read the primary all day.
    pub(crate) async fn poll_all<T>(
        &self,
        sql: &'static str,
        params: Params<'_>,
        decode: Decode<T>,
    ) -> Result<Vec<T>, StoreError> {
        let rows = self.again(sql, params).await?;
        Ok(query::all(&rows, decode)?)
    }

    /// The first row from the primary.
    pub(crate) async fn read_first<T>(
        &self,
        sql: &'static str,
        params: Params<'_>,
        decode: Decode<T>,
    ) -> Result<Option<T>, StoreError> {
        counter!(READS, "role" => PRIMARY).increment(1);
        let rows = self.again(sql, params).await?;
        Ok(query::first(&rows, decode)?)
    }

    /// The first row from a replica, if one is near and its row is fresh enough; else, and if there
    /// is none, from the primary.
    pub(crate) async fn read_near<T>(
        &self,
        sql: &'static str,
        params: Params<'_>,
        decode: Decode<T>,
        is_fresh: impl Fn(&T) -> bool + Send,
    ) -> Result<Option<T>, StoreError> {
        if let Some(row) = self.on_replica(sql, params, decode).await.flatten()
            && is_fresh(&row)
        {
            return Ok(Some(row));
        }
        self.read_first(sql, params, decode).await
    }

    /// What a replica says. `None`: there is none, or it failed; a recovery that cancels a query is
    /// an everyday thing there.
    pub(crate) async fn on_replica<T>(
        &self,
        sql: &'static str,
        params: Params<'_>,
        decode: Decode<T>,
    ) -> Option<Option<T>> {
        let replica = self.shared.servers.replica().await?;
        let patience = self.shared.patience.min(REPLICA_PATIENCE);
        let rows = query::rows(&replica, patience, sql, params).await;
        let read = rows.and_then(|rows| query::first(&rows, decode));
        match read {
            Ok(row) => {
                counter!(READS, "role" => REPLICA).increment(1);
                Some(row)
            }
            Err(error) => {
                tracing::debug!(%error, "a replica did not answer, the primary is asked");
                None
            }
        }
    }

    /// A statement by itself on the primary that may be done twice: sent again when it did nothing,
    /// and once more when its connection is gone with the answer.
    pub(crate) async fn again(
        &self,
        sql: &'static str,
        params: Params<'_>,
    ) -> Result<Vec<tokio_postgres::Row>, StoreError> {
        let mut severed = false;
        for _ in 1..ATTEMPTS {
            match self.once(sql, params).await? {
                Err(fault) if fault.is_severed() && !severed => severed = true,
                Err(fault) if fault.did_nothing() => {}
                rows => return Ok(rows?),
            }
            counter!(RETRIES).increment(1);
        }
        Ok(self.once(sql, params).await??)
    }

    /// A statement by itself on the primary that must not be done twice: sent again only when it
    /// did nothing.
    pub(crate) async fn write(
        &self,
        sql: &'static str,
        params: Params<'_>,
    ) -> Result<Vec<tokio_postgres::Row>, StoreError> {
        for _ in 1..ATTEMPTS {
            match self.once(sql, params).await? {
                Err(fault) if fault.did_nothing() => {}
                rows => return Ok(rows?),
            }
            counter!(RETRIES).increment(1);
        }
        Ok(self.once(sql, params).await??)
    }

    async fn once(
        &self,
        sql: &'static str,
        params: Params<'_>,
    ) -> Result<Result<Vec<tokio_postgres::Row>, Fault>, StoreError> {
        let connection = self.shared.servers.primary().await?;
        Ok(self.on(&connection, sql, params).await)
    }

    /// A statement by itself, on a connection to the primary.
    pub(crate) async fn on(
        &self,
        connection: &Connection,
        sql: &'static str,
        params: Params<'_>,
    ) -> Result<Vec<tokio_postgres::Row>, Fault> {
        let warnings = connection.warnings();
        let rows = query::rows(connection, self.shared.patience, sql, params).await;
        if rows.is_ok() && connection.warnings() != warnings {
            // Its commit did not wait for the standby to the end.
            connection.evict();
            return Err(Fault::Unconfirmed("the wait for a standby was cancelled"));
        }
        rows
    }

    /// A transaction on the primary, not begun yet.
    pub(crate) async fn transaction(&self) -> Result<PostgresTx, StoreError> {
        let connection = self.shared.servers.primary().await?;
        Ok(PostgresTx::new(Arc::clone(&self.shared), connection))
    }
}

/// What a row must be at least to do for `fresh`; `None`: only the primary's will do.
pub(crate) fn floor(fresh: Freshness) -> Option<sso_core::values::Version> {
    match fresh {
        Freshness::Any => Some(sso_core::values::Version::ZERO),
        Freshness::AtLeast(version) => Some(version),
        Freshness::Primary => None,
    }
}

pub(crate) fn unreachable(error: StoreError) -> OpenError {
    OpenError::Schema(SchemaError::Unavailable(error.into()))
}

#[async_trait]
impl Store for PostgresStore {
    async fn begin(&self) -> Result<Box<dyn Tx>, StoreError> {
        Ok(Box::new(self.transaction().await?))
    }

    async fn log_in(&self, login: &NewLogin<'_>) -> Result<Option<LoggedIn>, StoreError> {
        self.log_in_at_once(login).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.again(PING, &[]).await.map(|_| ())
    }
}
