//! Connections, pooled and of one's own.

use std::{
    ops::{Deref, DerefMut},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Instant,
};

use deadpool::managed;
use deadpool_postgres::ClientWrapper;
use tokio::task::JoinHandle;
use tokio_postgres::{Client, Error};

use super::{
    Identity, Role,
    address::Made,
    errors::severs,
    metrics,
    pool::{Manager, Wire},
};

/// A connection of the pool; dropping it gives it back. Derefs to the client with its cache of
/// prepared statements.
///
/// Whoever drops a future while its statement is under way leaves the connection in a state that
/// nobody knows: `Unanswered` keeps it from others until it has answered.
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
    pub(super) fn new(mut wire: managed::Object<Manager>, role: Role) -> Self {
        // It was asked when it stood; a server that was promoted since has kept it open.
        wire.identity.role = role;
        Self { wire }
    }

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
        if !self.wire.evicted.swap(true, Ordering::AcqRel) {
            metrics::evicted();
        }
    }

    /// Looks at an error that this connection gave: closes it where it is of no use any more, and
    /// has all servers asked who they are. Whether it was of no use.
    pub fn failed(&self, error: &Error) -> bool {
        let topology = &self.wire.topology;
        topology.exhausted.look_at(error, Instant::now());
        let severed = severs(error);
        if severed {
            self.evict();
            topology.doubt.notify_waiters();
        }
        severed
    }
}

/// When it is dropped before there was an answer the connection is asked, before it is used again,
/// whether all that came before was answered. It is not closed at once: clients who come and go
/// could have the pool opened anew all the time.
pub(crate) struct Unanswered<'a>(Option<&'a Connection>);

impl<'a> Unanswered<'a> {
    /// Something is asked on it now.
    pub(crate) fn on(connection: &'a Connection) -> Self {
        Self(Some(connection))
    }

    /// All that was asked is answered.
    pub(crate) fn answered(mut self) {
        self.0 = None;
    }
}

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        if let Some(connection) = self.0 {
            connection.wire.unanswered.store(true, Ordering::Release);
        }
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
    pub(super) fn new(made: Made) -> Self {
        let Made {
            client,
            driver,
            warnings,
            identity,
            ..
        } = made;
        Self {
            client,
            driver,
            warnings,
            identity,
        }
    }

    /// Who answers here, as of when the connection was made.
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
        // Also when an answer is outstanding that never comes.
        self.driver.abort();
    }
}

impl Wire {
    /// Whether it must not be used again.
    pub(super) fn is_spent(&self) -> bool {
        self.client.is_closed() || AtomicBool::load(&self.evicted, Ordering::Acquire)
    }
}
