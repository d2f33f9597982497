//! The connections to one address.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use deadpool::managed::{self, Object, PoolError, Timeouts};
use deadpool_postgres::ClientWrapper;
use tokio::time::timeout;

use super::{
    Identity, OpenError,
    address::{Address, Made},
    errors::ConnectError,
    lock,
    topology::{Topology, Use},
};

/// Connections that are looked at for one that leads to the right server: behind one address may
/// be several.
const TRIED: usize = 8;
/// Of a replica's: one that has fallen behind meanwhile is not to be asked for again and again by
/// new connections, by all who read.
const TRIED_REPLICAS: usize = 2;

/// How long a server that has no room for more connections is asked for none.
const FULL: Duration = Duration::from_millis(250);

/// How long a connection may take to answer what nobody waited for; then another one is quicker.
const ANSWERED: Duration = Duration::from_millis(50);

/// What lies in a pool.
pub(super) struct Wire {
    pub(super) client: ClientWrapper,
    pub(super) identity: Identity,
    pub(super) warnings: Arc<AtomicU64>,
    pub(super) evicted: AtomicBool,
    /// Whoever asked something last did not wait for the answer.
    pub(super) unanswered: AtomicBool,
    pub(super) topology: Arc<Topology>,
}

/// Makes connections to an address, and tells who answers.
pub(super) struct Manager {
    at: usize,
    address: Arc<Address>,
    topology: Arc<Topology>,
    /// Until when nobody tries, but one.
    full: Mutex<Option<Instant>>,
}

impl Manager {
    async fn connect(&self) -> Result<Made, ConnectError> {
        self.turn(Instant::now())?;
        let made = self.address.connect().await;
        self.note(made.as_ref().err(), Instant::now());
        made
    }

    /// Fails while the server has no room for connections. To be refused costs it, and us, as much as a
    /// connection does, and all who wait would try ten times a second.
    fn turn(&self, now: Instant) -> Result<(), ConnectError> {
        let mut full = lock(&self.full);
        match *full {
            Some(until) if now < until => Err(ConnectError::Full),
            // The others wait for what this one finds out.
            Some(_) => {
                *full = Some(now + FULL);
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn note(&self, error: Option<&ConnectError>, now: Instant) {
        *lock(&self.full) = error
            .is_some_and(ConnectError::is_for_want_of_room)
            .then(|| now + FULL);
    }
}

impl managed::Manager for Manager {
    type Type = Wire;
    type Error = ConnectError;

    async fn create(&self) -> Result<Wire, ConnectError> {
        let Made {
            client,
            driver,
            warnings,
            identity,
            ..
        } = self.connect().await?;
        self.topology.observe(self.at, &identity, Instant::now());
        Ok(Wire {
            client: ClientWrapper::new(client, driver),
            identity,
            warnings,
            evicted: AtomicBool::new(false),
            unanswered: AtomicBool::new(false),
            topology: Arc::clone(&self.topology),
        })
    }

    async fn recycle(
        &self,
        wire: &mut Wire,
        _: &managed::Metrics,
    ) -> managed::RecycleResult<ConnectError> {
        if wire.is_spent() {
            return Err(managed::RecycleError::message("closed"));
        }
        if wire.unanswered.swap(false, Ordering::AcqRel) {
            let answered = timeout(ANSWERED, wire.client.batch_execute("")).await;
            if !matches!(answered, Ok(Ok(()))) {
                return Err(managed::RecycleError::message(
                    "busy with what nobody waits for",
                ));
            }
        }
        Ok(())
    }
}

/// The connections to one address, to whichever server answers there.
pub(super) struct Pool {
    pool: managed::Pool<Manager>,
    topology: Arc<Topology>,
}

impl Pool {
    pub(super) fn new(
        at: usize,
        address: Arc<Address>,
        topology: &Arc<Topology>,
        size: usize,
    ) -> Result<Self, OpenError> {
        let manager = Manager {
            at,
            address,
            topology: Arc::clone(topology),
            full: Mutex::default(),
        };
        let pool = managed::Pool::builder(manager)
            .max_size(size)
            .queue_mode(managed::QueueMode::Lifo)
            .runtime(deadpool::Runtime::Tokio1)
            .build()
            .map_err(|error| OpenError::Settings(error.to_string()))?;
        Ok(Self {
            pool,
            topology: Arc::clone(topology),
        })
    }

    /// A connection to a server that is `wanted`, waiting `wait` for one of the pool's.
    pub(super) async fn get(
        &self,
        wanted: Use,
        wait: Duration,
    ) -> Result<Object<Manager>, ConnectError> {
        // Those that lead to another server are kept until one is found, else they would be found
        // again and again.
        let mut others = Vec::new();
        let tries = match wanted {
            Use::Replica => TRIED_REPLICAS,
            Use::Primary | Use::Later | Use::Never => TRIED,
        };
        for _ in 0..tries {
            // Who has some of the pool already waits for no more: two who do would wait for each other.
            let wait = if others.is_empty() {
                wait
            } else {
                Duration::ZERO
            };
            let timeouts = Timeouts {
                wait: Some(wait),
                ..Timeouts::default()
            };
            let wire = match self.pool.timeout_get(&timeouts).await {
                Ok(wire) => wire,
                Err(PoolError::Backend(error)) => return Err(error),
                Err(_) => return Err(ConnectError::Timeout),
            };
            match self.topology.usage(&wire.identity.run, Instant::now()) {
                usage if usage == wanted => return Ok(wire),
                Use::Never => drop(Object::take(wire)),
                Use::Primary | Use::Replica | Use::Later => others.push(wire),
            }
        }
        Err(ConnectError::NoPrimary)
    }

    /// Closes what is idle and leads nowhere any more.
    pub(super) fn tidy(&self) {
        let now = Instant::now();
        let _ = self.pool.retain(|wire, _| {
            !wire.is_spent() && self.topology.usage(&wire.identity.run, now) != Use::Never
        });
    }

    /// In use, idle.
    pub(super) fn counts(&self) -> (u32, u32) {
        let status = self.pool.status();
        let idle = status.available;
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        (number(status.size.saturating_sub(idle)), number(idle))
    }
}
