//! Which registrations have had their mail.

mod observed;
mod postgres;
mod sqlite;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use sso_service::{
    Failed,
    database::{Opened, Schema, StoreError, parked, sqlite::Role},
};
use uuid::Uuid;

use self::{observed::Observed, postgres::InPostgres, sqlite::InSqlite};
use crate::config::Config;

/// Who may send a mail now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Claim {
    /// Who asked, and nobody else for a while.
    Granted,
    /// Nobody: it is sent.
    Sent,
    /// Another one for this long at most.
    Taken(Duration),
}

/// Remembers mails by the ids of their events.
#[async_trait]
pub(crate) trait Store: Send + Sync {
    /// Asks to send the mail of an event, for `hold` at most.
    async fn claim(&self, mail: Mail, by: Uuid, hold: Duration) -> Result<Claim, StoreError>;

    /// It is sent by whoever had claimed it.
    async fn sent(&self, mail: Mail, by: Uuid) -> Result<(), StoreError>;

    /// It is not, and another one may try.
    async fn release(&self, event: Uuid, by: Uuid) -> Result<(), StoreError>;

    /// Forgets whose mails they were; how many.
    async fn forget(&self, user: Uuid) -> Result<u64, StoreError>;

    /// Forgets those that were noted longer ago than this, so many at most; how many.
    async fn clean(&self, age: Duration, most: u32) -> Result<u64, StoreError>;

    /// Whether it answers.
    async fn check(&self) -> Result<(), StoreError>;
}

/// Which mail.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mail {
    pub(crate) event: Uuid,
    pub(crate) user: Uuid,
}

/// The tables.
pub(crate) const SCHEMA: Schema = Schema {
    program: "welcome",
    sqlite: &[include_str!("../migrations/sqlite/1.sql"), parked::SQLITE],
    postgres: &[
        include_str!("../migrations/postgres/1.sql"),
        parked::POSTGRES,
    ],
};

/// Opens the database of a configuration.
pub(crate) async fn open(config: &Config, role: Role) -> Result<Opened, Failed> {
    SCHEMA.open(&config.database, &config.data_dir, role).await
}

/// The store in an open database.
pub(crate) async fn of(opened: &Opened, role: Role) -> Result<Arc<dyn Store>, Failed> {
    let store: Arc<dyn Store> = match opened.clone() {
        Opened::Postgres(pool) => Arc::new(InPostgres(pool)),
        Opened::Sqlite(sqlite) => {
            let store = InSqlite(sqlite);
            if role == Role::Server {
                // We are the only ones: whoever had claimed something is gone.
                store.release_all().await?;
            }
            Arc::new(store)
        }
    };
    Ok(Arc::new(Observed(store, opened.clone())))
}
