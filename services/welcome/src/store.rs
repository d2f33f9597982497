//! Which registrations have had their mail.

mod observed;
mod postgres;
mod sqlite;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use sso_service::{
    Failed,
    database::{Opened, Schema, StoreError, forgotten, parked, sqlite::Role},
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
    /// Nobody: whose it is was forgotten.
    Forgotten,
}

/// How far a mail has come, as far as is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Nobody has tried it, or it is nobody's any more.
    Untried,
    /// It was tried, and is not sent.
    Tried,
    /// Somebody tries it, for this long at most.
    UnderWay(Duration),
    /// It is sent.
    Sent,
}

impl Progress {
    /// By what is stored: whether it is sent, whether it is nobody's, for how much longer it is claimed.
    const fn of(sent: bool, forgotten: bool, claimed: Duration) -> Self {
        match (sent, forgotten) {
            (true, _) => Self::Sent,
            (false, _) if !claimed.is_zero() => Self::UnderWay(claimed),
            (false, true) => Self::Untried,
            (false, false) => Self::Tried,
        }
    }

    /// What it means for who was not granted it.
    fn refusal(self) -> Claim {
        const SOON: Duration = Duration::from_secs(1);
        match self {
            Self::Sent => Claim::Sent,
            Self::UnderWay(left) => Claim::Taken(left.max(SOON)),
            // Released or cleaned meanwhile.
            Self::Untried | Self::Tried => Claim::Taken(SOON),
        }
    }
}

/// Remembers mails by the ids of their events.
#[async_trait]
pub(crate) trait Store: Send + Sync {
    /// Asks to send the mail of an event, for `hold` at most.
    async fn claim(&self, mail: Mail, by: Uuid, hold: Duration) -> Result<Claim, StoreError>;

    /// How far a mail has come.
    async fn progress(&self, event: Uuid) -> Result<Progress, StoreError>;

    /// It is sent by whoever had claimed it.
    async fn sent(&self, mail: Mail, by: Uuid) -> Result<(), StoreError>;

    /// It is not, and another one may try.
    async fn release(&self, event: Uuid, by: Uuid) -> Result<(), StoreError>;

    /// Forgets whose mails they were, and lets nobody claim one of this user from now on; how many.
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
    sqlite: &[
        include_str!("../migrations/sqlite/1.sql"),
        parked::SQLITE,
        forgotten::SQLITE,
    ],
    postgres: &[
        include_str!("../migrations/postgres/1.sql"),
        parked::POSTGRES,
        forgotten::POSTGRES,
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
