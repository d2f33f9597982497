//! Shards of the outbox by advisory locks of the primary.
//!
//! A shard is held by whoever holds its lock, on a connection that is used for nothing else: the
//! server frees the lock when the process dies. Every instance that delivers holds one more lock,
//! in common with the others, so that each sees how many there are and which of them it is: the
//! shards are dealt by that. A process that hangs keeps its connection, so the server is told to
//! end a session that is silent (`idle_session_timeout`) for longer than what was begun before
//! can last.

use std::{
    sync::{Arc, Mutex as StdMutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use sso_core::{
    ports::{Clock, Shards, StoreError},
    values::{SHARDS, ShardSet},
};
use tokio::{sync::Mutex, time::timeout};
use tokio_postgres::{Error, Statement};

use crate::servers::{Dedicated, Role, Servers, severs};

/// How long what the server confirmed is believed. Several [`Shards::tend`] fit in.
const HOLD: Duration = Duration::from_secs(3);
/// Longest wait for the server, a new connection included.
const PATIENCE: Duration = Duration::from_secs(5);
/// Beyond what is under way at the end of it: for clocks and busy machines.
const MARGIN: Duration = Duration::from_secs(1);

// The first key of all these locks is 0x5353_4F45; the second is the shard, or 8 for those who
// deliver.

/// All who deliver, in the same order for all of them.
const MEMBERS: &str = "
    SELECT l.pid = pg_backend_pid() AS me
    FROM pg_locks l
    WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2
      AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
      AND l.classid = 1397968709 AND l.objid = 8
    ORDER BY l.pid";

const JOIN: &str = "SELECT pg_advisory_lock_shared(1397968709, 8)";
const TRY: &str = "SELECT pg_try_advisory_lock(1397968709, $1::integer)";
const FREE: &str = "SELECT pg_advisory_unlock(1397968709, $1::integer)";

#[cfg(test)]
pub(crate) const STATEMENTS: &[&str] = &[MEMBERS, JOIN, TRY, FREE];

/// The shards of one process. Cheap to clone.
#[derive(Clone)]
pub struct ShardLocks {
    shared: Arc<Shared>,
}

struct Shared {
    servers: Servers,
    clock: Arc<dyn Clock>,
    /// After a silence of that long another may deliver.
    silence: Duration,
    held: StdMutex<Held>,
    /// Taken out while it is in use: one that is given up is closed.
    link: Mutex<Option<Link>>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Held {
    locked: ShardSet,
    /// To be given up as soon as nothing of it is under way.
    leaving: ShardSet,
    /// By the monotonic clock.
    until: Duration,
}

struct Link {
    client: Dedicated,
    members: Statement,
    try_lock: Statement,
    free: Statement,
}

impl ShardLocks {
    /// For a process whose deliveries are over within `delivery` of their beginning. Holds nothing
    /// before it is tended.
    pub fn new(servers: Servers, clock: Arc<dyn Clock>, delivery: Duration) -> Self {
        Self {
            shared: Arc::new(Shared {
                servers,
                clock,
                silence: HOLD + delivery + MARGIN,
                held: StdMutex::default(),
                link: Mutex::default(),
            }),
        }
    }
}

#[async_trait]
impl Shards for ShardLocks {
    fn mine(&self) -> ShardSet {
        let held = *self.shared.held();
        if self.shared.clock.monotonic() < held.until {
            held.locked.without(held.leaving)
        } else {
            ShardSet::NONE
        }
    }

    async fn tend(&self, in_use: ShardSet) -> Result<(), StoreError> {
        let shared = &self.shared;
        let mut link = shared.link.lock().await;
        let taken = link.take();
        match timeout(PATIENCE, shared.turn(taken, in_use)).await {
            Ok(Ok(kept)) => {
                *link = Some(kept);
                Ok(())
            }
            Ok(Err(error)) => {
                shared.lose();
                Err(error)
            }
            Err(_) => {
                shared.lose();
                Err(StoreError::unavailable("the primary is silent"))
            }
        }
    }

    async fn leave(&self) {
        let mut link = self.shared.link.lock().await;
        self.shared.lose();
        *link = None;
    }
}

impl Shared {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// With the connection the locks are gone.
    fn lose(&self) {
        let held = std::mem::take(&mut *self.held());
        if !held.locked.is_empty() {
            tracing::info!(shards = held.locked.len(), "no shards are held any more");
        }
    }

    async fn turn(&self, link: Option<Link>, in_use: ShardSet) -> Result<Link, StoreError> {
        let link = match link {
            Some(link) if !self.is_deposed(&link) => link,
            _ => {
                self.lose();
                Link::open(&self.servers, self.silence).await?
            }
        };
        // From before the question: the server's patience begins later.
        let asked = self.clock.monotonic();
        let quota = link.quota().await.map_err(|error| of(&error))?;
        self.held().until = asked + HOLD;
        self.deal(&link, quota, in_use)
            .await
            .map_err(|error| of(&error))?;
        Ok(link)
    }

    /// Whether a timeline after that of the server was met: its locks mean nothing any more.
    fn is_deposed(&self, link: &Link) -> bool {
        match link.client.identity().role {
            Role::Primary { timeline } => timeline < self.servers.timeline(),
            Role::Replica => true,
        }
    }

    /// Frees what was given up before, then comes nearer to `quota` shards.
    async fn deal(&self, link: &Link, quota: u32, in_use: ShardSet) -> Result<(), Error> {
        let mut held = *self.held();
        for shard in held.leaving.without(in_use).iter() {
            link.call(&link.free, shard).await?;
            let freed = ShardSet::NONE.with(shard);
            held.leaving = held.leaving.without(freed);
            held.locked = held.locked.without(freed);
            *self.held() = held;
        }
        let keeping = held.locked.without(held.leaving);
        let surplus = usize::try_from(keeping.len().saturating_sub(quota)).unwrap_or(0);
        let give_up: ShardSet = keeping.iter().take(surplus).collect();
        let missing = usize::try_from(quota.saturating_sub(keeping.len())).unwrap_or(0);
        let keep_after_all: ShardSet = held.leaving.iter().take(missing).collect();
        held.leaving = ShardSet::from_bits(held.leaving.bits() | give_up.bits());
        held.leaving = held.leaving.without(keep_after_all);
        *self.held() = held;
        let mut missing = quota.saturating_sub(held.locked.without(held.leaving).len());
        for shard in ShardSet::ALL.without(held.locked).iter() {
            if missing == 0 {
                break;
            }
            if link.call(&link.try_lock, shard).await? {
                missing -= 1;
                held.locked = held.locked.with(shard);
                *self.held() = held;
                tracing::debug!(shard, "a shard is ours");
            }
        }
        Ok(())
    }
}

impl Link {
    async fn open(servers: &Servers, silence: Duration) -> Result<Self, StoreError> {
        let client = servers.dedicated().await?;
        let prepared = async {
            let silence = silence.as_millis();
            let set = format!("SET idle_session_timeout = {silence}");
            client.batch_execute(&set).await?;
            client.batch_execute(JOIN).await?;
            let members = client.prepare(MEMBERS).await?;
            let try_lock = client.prepare(TRY).await?;
            let free = client.prepare(FREE).await?;
            Ok((members, try_lock, free))
        };
        let (members, try_lock, free) = prepared.await.map_err(|error| of(&error))?;
        Ok(Self {
            client,
            members,
            try_lock,
            free,
        })
    }

    /// How many shards this one should have.
    async fn quota(&self) -> Result<u32, Error> {
        let rows = self.client.query(&self.members, &[]).await?;
        let mut rank = None;
        for (at, row) in rows.iter().enumerate() {
            if row.try_get("me")? {
                rank = Some(at);
            }
        }
        Ok(quota(rank, rows.len()))
    }

    async fn call(&self, statement: &Statement, shard: u8) -> Result<bool, Error> {
        let row = self
            .client
            .query_one(statement, &[&i32::from(shard)])
            .await?;
        row.try_get(0)
    }
}

/// What the member of this rank has of all shards: as many as each other one, or one more.
fn quota(rank: Option<usize>, members: usize) -> u32 {
    let Some(rank) = rank else {
        return 0;
    };
    let shards = usize::from(SHARDS);
    let more = usize::from(rank < shards % members);
    u32::try_from(shards / members + more).unwrap_or(0)
}

/// Without DETAIL, as everywhere.
fn of(error: &Error) -> StoreError {
    let why = match error.as_db_error() {
        Some(said) => said.message().to_owned(),
        None if severs(error) => "the connection of the shards is gone".to_owned(),
        None => error.to_string(),
    };
    StoreError::unavailable(why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_shards_are_dealt_and_nobody_has_two_more_than_another() {
        for members in 1..=20 {
            let dealt: Vec<_> = (0..members)
                .map(|rank| quota(Some(rank), members))
                .collect();
            assert_eq!(dealt.iter().sum::<u32>(), u32::from(SHARDS), "{members}");
            let (most, least) = (dealt.iter().max(), dealt.iter().min());
            assert!(most.unwrap() - least.unwrap() <= 1, "{members}: {dealt:?}");
        }
        assert_eq!(quota(None, 3), 0);
    }
}
