//! Stores in folders of their own.

use std::{path::Path, sync::Arc, time::Duration};

use sso_core::ports::{Store, store::User};
use sso_store_sqlite::{Limits, OpenError, Role, Settings, SqliteStore};
use sso_testkit::contract::Given;
use tempfile::TempDir;

/// Longer than any test may take.
pub(crate) const LONG: Duration = Duration::from_secs(20);

pub(crate) fn settings(folder: &Path, role: Role) -> Settings {
    Settings {
        folder: folder.to_owned(),
        role,
        migrate: true,
        limits: Limits {
            // Tests wait for it.
            transaction_idle: Duration::from_millis(200),
            ..Limits::default()
        },
    }
}

pub(crate) fn open(folder: &Path, role: Role) -> Result<SqliteStore, OpenError> {
    SqliteStore::open(&settings(folder, role))
}

/// A server's store in a new folder.
pub(crate) fn serving() -> (Arc<SqliteStore>, TempDir) {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path(), Role::Server).unwrap();
    (Arc::new(store), folder)
}

pub(crate) async fn user(store: &Arc<SqliteStore>, given: &Given, email: &str) -> User {
    let store: Arc<dyn Store> = Arc::<SqliteStore>::clone(store);
    given.user(&store, email).await
}
