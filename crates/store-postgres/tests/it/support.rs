//! Stores in databases of their own.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result};
use sso_core::ports::Store;
use sso_store_postgres::{
    Limits, PostgresStore,
    leases::{Leases, Terms},
    servers::Settings,
};
use sso_testkit::servers::Postgres;
use tokio::{runtime::Handle, sync::OnceCell, task::block_in_place};

use crate::leases::instance::{FreshIds, JumpingClock};

/// A database with the schema, to be copied.
const TEMPLATE: &str = "sso_template";

/// Short enough for the rule that waits until it is over.
const LEASE: Duration = Duration::from_secs(4);

/// Longer than any test may take.
pub(crate) const LONG: Duration = Duration::from_secs(30);

/// A database of a test; it is gone when this is dropped.
pub(crate) struct Database {
    server: &'static Postgres,
    pub(crate) name: String,
    pub(crate) url: String,
}

impl Database {
    /// An empty one: without a schema.
    pub(crate) async fn empty() -> Result<Self> {
        Self::copy("template1").await
    }

    /// One with the schema and nothing else.
    pub(crate) async fn migrated() -> Result<Self> {
        static MADE: OnceCell<()> = OnceCell::const_new();
        let server = Postgres::shared().await?;
        MADE.get_or_try_init(|| async {
            let url = server.database(TEMPLATE).await?;
            PostgresStore::open(&settings(&url)?, Limits::default(), true).await?;
            anyhow::Ok(())
        })
        .await?;
        Self::copy(TEMPLATE).await
    }

    async fn copy(template: &str) -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let server = Postgres::shared().await?;
        let name = format!("test_{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let url = server.database_from(template, &name).await?;
        Ok(Self { server, name, url })
    }

    /// Opens it, as one instance of several.
    pub(crate) async fn open(&self) -> Result<Arc<PostgresStore>> {
        let store = PostgresStore::open(&settings(&self.url)?, Limits::default(), false).await?;
        let terms = Terms {
            lease: LEASE,
            fence: Duration::ZERO,
            standbys: None,
            name: "test".to_owned(),
        };
        let leases = Leases::new(
            store.servers().clone(),
            JumpingClock::new(),
            terms,
            Arc::new(FreshIds),
        );
        Ok(Arc::new(store.with_leases(leases)))
    }

    /// A connection beside the store.
    pub(crate) async fn client(&self) -> Result<tokio_postgres::Client> {
        let (client, connection) =
            tokio_postgres::connect(&self.url, tokio_postgres::NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }

    /// Waits until a session waits for a lock.
    pub(crate) async fn wait_for_a_lock(&self) -> Result<()> {
        self.wait_for("wait_event_type = 'Lock'", |sessions| sessions > 0)
            .await
    }

    /// Waits until as many other sessions are in this state.
    pub(crate) async fn wait_for(&self, state: &str, enough: fn(u32) -> bool) -> Result<()> {
        let count = format!(
            "select count(*) from pg_stat_activity
             where datname = current_database() and pid <> pg_backend_pid() and {state}"
        );
        let counted = async {
            while !enough(self.execute(&count).await?.parse()?) {}
            anyhow::Ok(())
        };
        tokio::time::timeout(LONG, counted)
            .await
            .with_context(|| format!("{state} did not come"))?
    }

    /// Runs SQL beside the store; the rows, a line each.
    pub(crate) async fn execute(&self, sql: &str) -> Result<String> {
        self.server.node.execute_in(&self.name, sql).await
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let drop = format!("drop database {} with (force)", self.name);
        let dropped = block_in_place(|| Handle::current().block_on(self.server.execute(&drop)));
        if let Err(error) = dropped
            && !std::thread::panicking()
        {
            panic!("{error:#}");
        }
    }
}

/// Patient: the machine may be busy, and a handshake takes long without optimisation.
pub(crate) fn settings(url: &str) -> Result<Settings> {
    Ok(Settings {
        max_connections: 6,
        acquire_timeout: LONG,
        statement_timeout: LONG,
        lock_timeout: LONG,
        connect_timeout: LONG,
        ..Settings::new(url.parse()?)
    })
}

/// An empty store, for rules that do not wait for one.
pub(crate) fn store() -> (Arc<dyn Store>, Database) {
    let made = async {
        let database = Database::migrated().await?;
        let store: Arc<dyn Store> = database.open().await?;
        anyhow::Ok((store, database))
    };
    block_in_place(|| Handle::current().block_on(made)).unwrap()
}
