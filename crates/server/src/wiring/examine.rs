//! A look at what is stored, for who wants to know whether a server could work with it.

use std::{path::PathBuf, sync::Arc};

use sso_core::ports::{
    Clock, Store, StoreError,
    store::{AuditPage, Backlog},
};
use sso_crypto::{KeyRing, KeyRingError, MasterKey, SystemRandom};
use time::OffsetDateTime;

use super::{Role, block_on, master_key, store};
use crate::{config::Config, exit::Failed, system::SystemClock};

/// What was found. Nothing was changed or made.
pub(crate) struct Examined {
    /// How many keys open under the master key, or why they do not.
    pub(crate) keys: Result<usize, NotOpened>,
    /// What waits in the outbox.
    pub(crate) backlog: Result<Backlog, StoreError>,
    /// The time of the newest record of the audit log.
    pub(crate) newest: Option<OffsetDateTime>,
}

/// Why the stored keys do not open.
pub(crate) enum NotOpened {
    /// The store does not give them.
    Unreadable(StoreError),
    /// There is no master key, or it is none.
    NoMasterKey(Failed),
    /// The master key is another database's.
    WrongMasterKey(KeyRingError),
    /// Under the right master key they are no ring.
    Damaged(KeyRingError),
}

/// Opens a database that exists and has this program's schema.
pub(crate) fn examine(config: &Config) -> Result<Examined, Failed> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    block_on(async {
        let store = store::open(config, Role::Command, false, &clock)
            .await?
            .store;
        let newest = AuditPage {
            limit: 1,
            ..AuditPage::default()
        };
        let newest = store.audit(&newest).await.unwrap_or_default();
        Ok(Examined {
            keys: keys(config, store.as_ref()).await,
            backlog: store.backlog().await,
            newest: newest.first().map(|record| record.at),
        })
    })
}

async fn keys(config: &Config, store: &dyn Store) -> Result<usize, NotOpened> {
    let stored = store.keys().await.map_err(NotOpened::Unreadable)?;
    if stored.is_empty() {
        return Ok(0);
    }
    let (master, source) =
        master_key::of(config, false, &SystemRandom).map_err(NotOpened::NoMasterKey)?;
    let opens = |master: &MasterKey| KeyRing::open(&stored, master);
    match opens(&master) {
        Ok(_) => Ok(stored.len()),
        // A reseal that was cut off: the next start takes the key that lies beside it.
        Err(KeyRingError::WrongMasterKey { .. })
            if source.candidates().iter().any(|key| opens(key).is_ok()) =>
        {
            Ok(stored.len())
        }
        Err(error @ KeyRingError::WrongMasterKey { .. }) => Err(NotOpened::WrongMasterKey(error)),
        Err(error) => Err(NotOpened::Damaged(error)),
    }
}

/// The file with the master key, unless the configuration gives the key itself.
pub(crate) fn master_key_file(config: &Config) -> Option<PathBuf> {
    match (&config.keys.master_key_file, &config.keys.master_key) {
        (Some(file), _) => Some(file.clone()),
        (None, Some(_)) => None,
        (None, None) => Some(config.data_dir.join(master_key::FILE)),
    }
}
