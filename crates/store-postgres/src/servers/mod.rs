//! The servers of one PostgreSQL cluster: which one is the primary, which replicas may be read, and
//! pools of connections to both.
//!
//! Roles are asked of the servers and never follow from an address: one may lead to another server
//! by now (a balancer), or the server may have got another role. So each connection knows which run
//! of which server answers on it, and what that is good for is looked up when it is handed out. The
//! primary is the one that accepts writes on the highest timeline that was met of this cluster; one
//! on a lower timeline is a deposed one that nobody has stopped.

mod address;
mod beats;
mod connection;
mod deadline;
mod errors;
mod exhausted;
mod given_up;
mod identity;
mod instances;
mod metrics;
mod outcome;
mod pool;
mod prober;
mod settings;
mod start;
mod survey;
mod tls;
mod topology;
mod url;

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use sso_core::ports::StoreError;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant as Deadline, timeout_at},
};

pub use connection::{Connection, Dedicated};
pub use deadline::Allowance;
pub use errors::{ConnectError, OpenError, severs};
pub use given_up::GivenUp;
pub use identity::{Identity, IdentityError, Role};
#[cfg(test)]
pub(crate) use instances::STATEMENTS;
pub use instances::{Instances, Registered};
pub use metrics::register as register_metrics;
pub use outcome::{Find, Outcome, Ticket};
pub use settings::{Settings, TlsSettings};
pub use survey::{Found, Surveyed, Synchrony, survey};
pub use topology::{Primary, ReplicaState};
pub use url::{ServerUrl, SslMode, UrlError};

use address::Address;
pub(crate) use connection::Unanswered;
pub(crate) use deadline::of_answer;
use pool::Pool;
use prober::{Pace, Prober};
use topology::{Topology, Use};

/// Longest wait for a connection of a replica's to become free: then the next one is asked.
const REPLICA_WAIT: Duration = Duration::from_millis(50);
/// Longest time until a connection to any replica is there, new ones included: then the primary is
/// asked. A replica is there to save time.
const REPLICA_LIMIT: Duration = Duration::from_millis(500);
/// Between two tries while the primary that is known refuses connections.
const RETRY: Duration = Duration::from_millis(100);

/// The servers. Cheap to clone; the last one that is dropped ends all connections.
#[derive(Clone)]
pub struct Servers {
    shared: Arc<Shared>,
}

struct Shared {
    addresses: Vec<Arc<Address>>,
    pools: Vec<Arc<Pool>>,
    topology: Arc<Topology>,
    acquire_timeout: Duration,
    max_waiting: u32,
    waiting: AtomicU32,
    turn: AtomicUsize,
    _probers: JoinSet<()>,
}

impl Servers {
    /// Asks all addresses who they are, and refuses what cannot work. Must be called in a runtime.
    pub async fn open(settings: &Settings) -> Result<Self, OpenError> {
        let addresses: Vec<_> = Address::all(settings)?.into_iter().map(Arc::new).collect();
        metrics::register(addresses.iter().map(|one| (one.name.as_str(), one.replica)));
        let unheard = settings.probe_interval * 2 + prober::WHO + settings.probe_timeout;
        let topology = Arc::new(Topology::new(settings.max_lag, unheard));
        start::judge(&start::ask(&addresses).await, &topology)?;
        let mut pools = Vec::new();
        let mut probers = JoinSet::new();
        for (at, address) in addresses.iter().enumerate() {
            let pool = Pool::new(at, Arc::clone(address), &topology, settings.max_connections)?;
            let pool = Arc::new(pool);
            let (address, topology) = (Arc::clone(address), Arc::clone(&topology));
            let pace = Pace {
                interval: settings.probe_interval,
                timeout: settings.probe_timeout,
            };
            let prober = Prober::new(at, address, Arc::clone(&pool), topology, pace);
            probers.spawn(prober.run());
            pools.push(pool);
        }
        Ok(Self {
            shared: Arc::new(Shared {
                addresses,
                pools,
                topology,
                acquire_timeout: settings.acquire_timeout,
                max_waiting: settings.max_waiting,
                waiting: AtomicU32::new(0),
                turn: AtomicUsize::new(0),
                _probers: probers,
            }),
        })
    }

    /// A connection to the primary. While there is none, or none is free, this waits for
    /// [`Settings::acquire_timeout`] at most, and no longer than the [`Allowance`] of the request;
    /// where [`Settings::max_waiting`] wait already it fails at once.
    pub async fn primary(&self) -> Result<Connection, StoreError> {
        let deadline = self.deadline();
        if let Some(primary) = self.known() {
            // None lies there: it may take as long as a new one does to stand.
            let at_once = timeout_at(deadline, self.pooled(&primary, Duration::ZERO));
            if let Ok(Ok(connection)) = at_once.await {
                return Ok(connection);
            }
        }
        let waiting = Waiting::enter(&self.shared)?;
        let get = |primary, wait| async move { self.pooled(&primary, wait).await };
        let found = self.wait(deadline, get).await;
        drop(waiting);
        found
    }

    /// Until when who asks for a connection now waits for it.
    pub(crate) fn deadline(&self) -> Deadline {
        deadline::of_connection(self.shared.acquire_timeout)
    }

    /// How many may wait.
    pub(crate) fn max_waiting(&self) -> usize {
        usize::try_from(self.shared.max_waiting).unwrap_or(usize::MAX)
    }

    /// A connection to a replica that is within the lag that is allowed; `None`: there is none now.
    pub async fn replica(&self) -> Option<Connection> {
        let found = tokio::time::timeout(REPLICA_LIMIT, self.any_replica()).await;
        found.ok().flatten()
    }

    async fn any_replica(&self) -> Option<Connection> {
        let shared = &self.shared;
        let addresses = shared.topology.readable(Instant::now());
        let turn = shared.turn.fetch_add(1, Ordering::Relaxed);
        for step in 0..addresses.len() {
            let at = addresses[turn.wrapping_add(step) % addresses.len()];
            if let Ok(wire) = shared.pools[at].get(Use::Replica, REPLICA_WAIT).await {
                return Some(Connection::new(wire, Role::Replica));
            }
        }
        None
    }

    /// A connection of one's own to the primary, outside the pool: for the beat, for locks that
    /// live as long as their session. Dropping it closes it. Waits as [`Servers::primary`].
    pub async fn dedicated(&self) -> Result<Dedicated, StoreError> {
        let deadline = self.deadline();
        self.wait(
            deadline,
            |primary, _| async move { self.own(&primary).await },
        )
        .await
    }

    /// The highest timeline that was met: versions and xids are of it.
    pub fn timeline(&self) -> u32 {
        self.shared.topology.timeline()
    }

    /// The primary as it changes; `None` while there is none.
    pub fn changes(&self) -> watch::Receiver<Option<Primary>> {
        self.shared.topology.watch()
    }

    /// Waits until a timeline after this one is met.
    pub(crate) async fn beyond(&self, timeline: u32) {
        let mut changes = self.changes();
        while self.timeline() <= timeline && changes.changed().await.is_ok() {}
    }

    /// Waits until the cluster has given up the highest timeline that was met: then this process will
    /// never have a primary again, and another one, which has not met it, will.
    pub async fn given_up(&self) -> GivenUp {
        let mut known = self.shared.topology.given_up();
        match known.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(given_up)) => given_up.clone(),
            // The sender is held by `self`.
            _ => std::future::pending().await,
        }
    }

    /// This process sends the beat `beat` of its row `reader` in `readers` now. What a replica
    /// shows of it tells how far behind it is.
    pub fn beat_sent(&self, reader: uuid::Uuid, beat: i64) {
        let beats = &self.shared.topology.beats;
        beats.sent(reader, beat, Instant::now());
    }

    /// How long ago the newest beat was sent that the replicas of each address show, of the
    /// furthest behind; `None`: unknown, no replica there.
    pub fn lags(&self) -> Vec<(String, Option<Duration>)> {
        let (shared, now) = (&self.shared, Instant::now());
        let addresses = shared.addresses.iter().enumerate();
        addresses
            .map(|(at, address)| (address.name.clone(), shared.topology.furthest(at, now)))
            .collect()
    }

    /// What a server said that had no disk or memory left for a statement in the last seconds.
    pub fn exhausted(&self) -> Option<String> {
        self.shared.topology.exhausted.at(Instant::now())
    }

    /// What the primary's clock shows, since 1970: as it said within the last second or so, and
    /// gone on since then. `None`: it has not said yet.
    pub fn time(&self) -> Option<Duration> {
        self.shared.topology.time(Instant::now())
    }

    /// How each address is that was given as a replica's, in the order of the configuration.
    pub fn replicas(&self) -> Vec<(String, ReplicaState)> {
        let (shared, now) = (&self.shared, Instant::now());
        let addresses = shared.addresses.iter().enumerate();
        addresses
            .filter(|(_, address)| address.replica)
            .map(|(at, address)| (address.name.clone(), shared.topology.replica(at, now)))
            .collect()
    }

    fn known(&self) -> Option<Primary> {
        self.shared.topology.watch().borrow().clone()
    }

    async fn pooled(&self, primary: &Primary, wait: Duration) -> Result<Connection, ConnectError> {
        let pool = &self.shared.pools[primary.address];
        let wire = pool.get(Use::Primary, wait).await?;
        // Of that server: the number of a transaction of it means something else on another timeline.
        let known = self.known().filter(|known| known.run == wire.identity.run);
        let timeline = known.ok_or(ConnectError::NoPrimary)?.timeline;
        Ok(Connection::new(wire, Role::Primary { timeline }))
    }

    async fn own(&self, primary: &Primary) -> Result<Dedicated, ConnectError> {
        let made = self.shared.addresses[primary.address].connect().await?;
        let topology = &self.shared.topology;
        topology.observe(primary.address, &made.identity, Instant::now());
        if topology.usage(&made.identity.run, Instant::now()) == Use::Primary {
            Ok(Dedicated::new(made))
        } else {
            made.driver.abort();
            Err(ConnectError::NoPrimary)
        }
    }

    /// Tries with the primary of the moment until the deadline.
    async fn wait<T, F: Future<Output = Result<T, ConnectError>>>(
        &self,
        deadline: Deadline,
        get: impl Fn(Primary, Duration) -> F,
    ) -> Result<T, StoreError> {
        let mut changes = self.changes();
        let mut last = ConnectError::NoPrimary;
        loop {
            let primary = changes.borrow_and_update().clone();
            if let Some(primary) = primary {
                let left = deadline.saturating_duration_since(Deadline::now());
                let got = tokio::select! {
                    got = timeout_at(deadline, get(primary, left)) => got,
                    // Another server is the primary now: to wait for this one is in vain.
                    _ = changes.changed() => continue,
                };
                match got {
                    Ok(Ok(found)) => return Ok(found),
                    Ok(Err(error)) => last = error,
                    Err(_) => return Err(StoreError::unavailable(ConnectError::Timeout)),
                }
                // It says who it is by having no room: nobody is asked anew, over one more connection each.
                if !last.is_for_want_of_room() {
                    self.shared.topology.doubt.notify_waiters();
                }
            }
            let again = deadline.min(Deadline::now() + RETRY);
            let _ = timeout_at(again, changes.changed()).await;
            if Deadline::now() >= deadline {
                return Err(StoreError::unavailable(last));
            }
        }
    }
}

/// One who waits.
struct Waiting<'a>(&'a Shared);

impl<'a> Waiting<'a> {
    fn enter(shared: &'a Shared) -> Result<Self, StoreError> {
        // Who finds it full has not waited.
        let enter = |before| (before < shared.max_waiting).then_some(before + 1);
        let entered = shared
            .waiting
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, enter);
        let before = entered.map_err(|_| StoreError::unavailable(ConnectError::Crowded))?;
        metrics::waiting(before + 1);
        Ok(Self(shared))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let before = self.0.waiting.fetch_sub(1, Ordering::AcqRel);
        metrics::waiting(before.saturating_sub(1));
    }
}

/// Nothing panics while it holds one of ours.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
