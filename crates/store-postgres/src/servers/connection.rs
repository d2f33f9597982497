//! Connections, pooled and of one's own.

use std::{
    ops::{Deref, DerefMut},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use deadpool::managed;
use deadpool_postgres::ClientWrapper;
use tokio::task::JoinHandle;
use tokio_postgres::{AsyncMessage, Client, Config, Error, NoTls, Socket, error::Severity};

use super::{
    Identity, OpenError, Role, Settings,
    errors::{ConnectError, severs},
};

/// A connection of the pool; dropping it gives it back. Derefs to the client with its cache of
/// prepared statements.
pub struct Connection {
    wire: managed::Object<Manager>,
}

/// A connection of one's own; dropping it closes it.
pub struct Dedicated {
    client: Client,
    driver: JoinHandle<()>,
    warnings: Arc<AtomicU64>,
    identity: Identity,
}

impl Connection {
    /// Who answers here.
    pub fn identity(&self) -> &Identity {
        &self.wire.identity
    }

    /// How many WARNINGs the server has sent here so far. One that comes with a COMMIT says that
    /// its wait for a standby was cancelled: it is no success.
    pub fn warnings(&self) -> u64 {
        self.wire.warnings.load(Ordering::Acquire)
    }

    /// It is closed instead of given back, for example when it is in an unknown state.
    pub fn evict(&self) {
        self.wire.evicted.store(true, Ordering::Release);
    }

    /// Looks at an error that this connection gave: closes it where it is of no use any more.
    /// Whether it was.
    pub fn failed(&self, error: &Error) -> bool {
        let severed = severs(error);
        if severed {
            self.evict();
        }
        severed
    }
}

impl Deref for Connection {
    type Target = ClientWrapper;

    fn deref(&self) -> &ClientWrapper {
        &self.wire.client
    }
}

impl DerefMut for Connection {
    fn deref_mut(&mut self) -> &mut ClientWrapper {
        &mut self.wire.client
    }
}

impl Dedicated {
    /// Who answers here.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// How many WARNINGs the server has sent here so far.
    pub fn warnings(&self) -> u64 {
        self.warnings.load(Ordering::Acquire)
    }
}

impl Deref for Dedicated {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl DerefMut for Dedicated {
    fn deref_mut(&mut self) -> &mut Client {
        &mut self.client
    }
}

impl Drop for Dedicated {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// What lies in the pool.
pub(super) struct Wire {
    client: ClientWrapper,
    identity: Identity,
    warnings: Arc<AtomicU64>,
    evicted: AtomicBool,
}

/// Makes connections.
pub(super) struct Manager {
    config: Config,
    within: Duration,
    timeline: AtomicU32,
}

impl managed::Manager for Manager {
    type Type = Wire;
    type Error = ConnectError;

    async fn create(&self) -> Result<Wire, ConnectError> {
        let own = self.connect().await?;
        let Made {
            client,
            driver,
            warnings,
            identity,
        } = own;
        Ok(Wire {
            client: ClientWrapper::new(client, driver),
            identity,
            warnings,
            evicted: AtomicBool::new(false),
        })
    }

    async fn recycle(
        &self,
        wire: &mut Wire,
        _: &managed::Metrics,
    ) -> managed::RecycleResult<ConnectError> {
        if wire.client.is_closed() || wire.evicted.load(Ordering::Acquire) {
            return Err(managed::RecycleError::message("closed"));
        }
        Ok(())
    }
}

struct Made {
    client: Client,
    driver: JoinHandle<()>,
    warnings: Arc<AtomicU64>,
    identity: Identity,
}

impl Manager {
    async fn connect(&self) -> Result<Made, ConnectError> {
        let connecting = self.config.connect(NoTls);
        let connected = tokio::time::timeout(self.within, connecting).await;
        let (client, connection) = connected.map_err(|_| ConnectError::Timeout)??;
        let warnings = Arc::new(AtomicU64::new(0));
        let driver = tokio::spawn(drive(connection, Arc::clone(&warnings)));
        let identity = Identity::ask(&client, self.within).await?;
        if let Role::Primary { timeline } = identity.role {
            self.timeline.fetch_max(timeline, Ordering::AcqRel);
        }
        Ok(Made {
            client,
            driver,
            warnings,
            identity,
        })
    }
}

/// Moves bytes until the connection ends. Warnings are counted before the answer that they belong
/// to is handed on.
async fn drive<T>(mut connection: tokio_postgres::Connection<Socket, T>, warnings: Arc<AtomicU64>)
where
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    while let Some(Ok(message)) =
        std::future::poll_fn(|context| connection.poll_message(context)).await
    {
        if let AsyncMessage::Notice(notice) = message
            && notice.parsed_severity() == Some(Severity::Warning)
        {
            warnings.fetch_add(1, Ordering::AcqRel);
        }
    }
}

/// The connections to one address.
pub(super) struct Pool {
    pool: managed::Pool<Manager>,
}

impl Pool {
    pub(super) fn new(settings: &Settings) -> Result<Self, OpenError> {
        let manager = Manager {
            config: settings.url.config().clone(),
            within: settings.connect_timeout,
            timeline: AtomicU32::new(0),
        };
        let pool = managed::Pool::builder(manager)
            .max_size(settings.max_connections)
            .wait_timeout(Some(settings.acquire_timeout))
            .runtime(deadpool::Runtime::Tokio1)
            .build()
            .map_err(|error| OpenError::Settings(error.to_string()))?;
        Ok(Self { pool })
    }

    pub(super) async fn get(&self) -> Result<Connection, ConnectError> {
        match self.pool.get().await {
            Ok(wire) => Ok(Connection { wire }),
            Err(managed::PoolError::Backend(error)) => Err(error),
            Err(_) => Err(ConnectError::Timeout),
        }
    }

    pub(super) async fn dedicated(&self) -> Result<Dedicated, ConnectError> {
        let Made {
            client,
            driver,
            warnings,
            identity,
        } = self.pool.manager().connect().await?;
        Ok(Dedicated {
            client,
            driver,
            warnings,
            identity,
        })
    }

    pub(super) fn timeline(&self) -> u32 {
        self.pool.manager().timeline.load(Ordering::Acquire)
    }
}
