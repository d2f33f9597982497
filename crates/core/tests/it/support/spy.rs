//! A store that is watched, that can lag like a replica, and that can fail.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use async_trait::async_trait;
use sso_core::{
    Network,
    ports::{
        Store, StoreError, Tx,
        store::{
            Answer, AuditPage, AuditRecord, AuditStore, Backlog, Delivered, EventPage, Freshness,
            JanitorStore, KeyStore, Liveness, NetworkReads, OutboxStore, PendingEvent, Question,
            Reach, RetiredKey, Revocation, RevocationFeed, Rotate, Rotation, SealedKey, Session,
            SessionStore, StoredEvent, Swept, User, UserDataReads, UserEvent, UserPage, UserStore,
        },
    },
    values::{Email, EventId, PasswordHash, SessionId, ShardSet, UserId},
};
use sso_testkit::clock::ManualClock;
use time::OffsetDateTime;

use super::{AnyStore, spy_tx::SpyTx};

/// Stands before a store.
pub(crate) struct SpyStore {
    inner: AnyStore,
    reads: AtomicUsize,
    writes: AtomicUsize,
    /// What the replica has; `None`: it does not lag.
    replica: Mutex<Option<Vec<User>>>,
    /// The next commit fails.
    pub(crate) fail_commit: Arc<AtomicBool>,
    /// So many of the next commits are certainly not done.
    pub(crate) undo_commits: Arc<AtomicUsize>,
    /// The next look for an address fails.
    pub(crate) fail_search: AtomicBool,
    /// The next outcome of a delivery is not stored.
    pub(crate) fail_settle: AtomicBool,
    /// The next beat is not answered.
    pub(crate) fail_beat: AtomicBool,
    /// On which timeline beats are answered.
    pub(crate) timeline: AtomicU32,
    /// How long a beat is on its way, by this clock.
    beat_takes: Mutex<Option<(Arc<ManualClock>, Duration)>>,
    /// How long this process is held up after the answer to a refresh, by this clock.
    refresh_takes: Mutex<Option<(Arc<ManualClock>, Duration)>>,
}

/// Who answers a read.
enum Replica {
    Answers(Option<User>),
    AskPrimary,
}

fn fail_once(fail: &AtomicBool) -> Result<(), StoreError> {
    if fail.swap(false, Relaxed) {
        Err(StoreError::unavailable("as the test wants"))
    } else {
        Ok(())
    }
}

impl SpyStore {
    pub(crate) fn before(inner: AnyStore) -> Arc<Self> {
        Arc::new(Self {
            inner,
            reads: AtomicUsize::default(),
            writes: AtomicUsize::default(),
            replica: Mutex::default(),
            fail_commit: Arc::default(),
            undo_commits: Arc::default(),
            fail_search: AtomicBool::default(),
            fail_settle: AtomicBool::default(),
            fail_beat: AtomicBool::default(),
            timeline: AtomicU32::default(),
            beat_takes: Mutex::default(),
            refresh_takes: Mutex::default(),
        })
    }

    /// Reads, and transactions or other writes, since the last call.
    pub(crate) fn take(&self) -> (usize, usize) {
        (self.reads.swap(0, Relaxed), self.writes.swap(0, Relaxed))
    }

    /// From now on reads that need not be fresh see only these rows.
    pub(crate) fn freeze_replica(&self, rows: Vec<User>) {
        *self.replica.lock().unwrap_or_else(PoisonError::into_inner) = Some(rows);
    }

    /// From now on an answer to a beat comes so long after its question.
    pub(crate) fn slow_beats(&self, clock: &Arc<ManualClock>, by: Duration) {
        *self
            .beat_takes
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some((Arc::clone(clock), by));
    }

    /// From now on this process is held up for so long after each answer to a refresh.
    pub(crate) fn slow_refreshes(&self, clock: &Arc<ManualClock>, by: Duration) {
        let mut takes = self
            .refresh_takes
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *takes = Some((Arc::clone(clock), by));
    }

    fn read(&self) -> &AnyStore {
        self.reads.fetch_add(1, Relaxed);
        &self.inner
    }

    fn write(&self) -> &AnyStore {
        self.writes.fetch_add(1, Relaxed);
        &self.inner
    }

    fn replica(&self, fresh: Freshness, is: impl Fn(&User) -> bool) -> Replica {
        let replica = self.replica.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(rows) = replica.as_ref() else {
            return Replica::AskPrimary;
        };
        let found = rows.iter().find(|user| is(user)).cloned();
        match (fresh, found) {
            (Freshness::Any, Some(user)) => Replica::Answers(Some(user)),
            (Freshness::AtLeast(version), Some(user)) if user.version >= version => {
                Replica::Answers(Some(user))
            }
            _ => Replica::AskPrimary,
        }
    }
}

#[async_trait]
impl Store for SpyStore {
    async fn begin(&self) -> Result<Box<dyn Tx>, StoreError> {
        let inner = self.write().begin().await?;
        Ok(Box::new(SpyTx {
            inner,
            fail: Arc::clone(&self.fail_commit),
            undo: Arc::clone(&self.undo_commits),
        }))
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.read().ping().await
    }
}

#[async_trait]
impl UserStore for SpyStore {
    async fn user_by_email(
        &self,
        email: &Email,
        fresh: Freshness,
    ) -> Result<Option<User>, StoreError> {
        fail_once(&self.fail_search)?;
        let inner = self.read();
        match self.replica(fresh, |user| user.email.canonical() == email.canonical()) {
            Replica::Answers(found) => Ok(found),
            Replica::AskPrimary => inner.user_by_email(email, fresh).await,
        }
    }

    async fn user(&self, id: UserId, fresh: Freshness) -> Result<Option<User>, StoreError> {
        let inner = self.read();
        match self.replica(fresh, |user| user.id == id) {
            Replica::Answers(found) => Ok(found),
            Replica::AskPrimary => inner.user(id, fresh).await,
        }
    }

    async fn users(&self, page: UserPage) -> Result<Vec<User>, StoreError> {
        self.read().users(page).await
    }

    async fn rehash(
        &self,
        user: UserId,
        verified: &PasswordHash,
        new: &PasswordHash,
    ) -> Result<bool, StoreError> {
        self.write().rehash(user, verified, new).await
    }
}

#[async_trait]
impl SessionStore for SpyStore {
    async fn session(&self, id: SessionId) -> Result<Option<Session>, StoreError> {
        self.read().session(id).await
    }

    async fn live_sessions(
        &self,
        user: UserId,
        alive: Liveness,
    ) -> Result<Vec<Session>, StoreError> {
        self.read().live_sessions(user, alive).await
    }

    async fn rotate(&self, rotate: Rotate) -> Result<Rotation, StoreError> {
        let rotation = self.write().rotate(rotate).await;
        let takes = self.refresh_takes.lock();
        if let Some((clock, by)) = takes.unwrap_or_else(PoisonError::into_inner).as_ref() {
            clock.advance(*by);
        }
        rotation
    }
}

#[async_trait]
impl OutboxStore for SpyStore {
    async fn pending_events(
        &self,
        shards: ShardSet,
        limit: u32,
    ) -> Result<Vec<PendingEvent>, StoreError> {
        self.read().pending_events(shards, limit).await
    }

    async fn settle_events(
        &self,
        settled: &[(EventId, Delivered)],
        now: OffsetDateTime,
    ) -> Result<(), StoreError> {
        fail_once(&self.fail_settle)?;
        self.write().settle_events(settled, now).await
    }

    async fn events(&self, page: EventPage) -> Result<Vec<StoredEvent>, StoreError> {
        self.read().events(page).await
    }

    async fn backlog(&self) -> Result<Backlog, StoreError> {
        self.read().backlog().await
    }
}

#[async_trait]
impl NetworkReads for SpyStore {
    async fn knows_network(&self, email: &Email, network: Network) -> Result<bool, StoreError> {
        self.read().knows_network(email, network).await
    }
}

#[async_trait]
impl KeyStore for SpyStore {
    async fn keys(&self) -> Result<Vec<SealedKey>, StoreError> {
        self.read().keys().await
    }

    async fn retired_keys(&self, limit: u32) -> Result<Vec<RetiredKey>, StoreError> {
        self.read().retired_keys(limit).await
    }

    async fn insert_first_keys(&self, keys: &[SealedKey]) -> Result<Vec<SealedKey>, StoreError> {
        self.write().insert_first_keys(keys).await
    }
}

#[async_trait]
impl RevocationFeed for SpyStore {
    async fn beat(&self, question: Question<'_>) -> Result<Answer, StoreError> {
        fail_once(&self.fail_beat)?;
        let answer = self.read().beat(question).await;
        let takes = self
            .beat_takes
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some((clock, by)) = takes.as_ref() {
            clock.advance(*by);
        }
        let timeline = self.timeline.load(Relaxed);
        Ok(Answer {
            timeline,
            ..answer?
        })
    }

    async fn acknowledged(
        &self,
        revocation: &Revocation,
        wait: Duration,
    ) -> Result<Reach, StoreError> {
        self.inner.acknowledged(revocation, wait).await
    }

    async fn leave(&self) -> Result<(), StoreError> {
        self.inner.leave().await
    }
}

#[async_trait]
impl AuditStore for SpyStore {
    async fn audit(&self, page: &AuditPage) -> Result<Vec<AuditRecord>, StoreError> {
        self.read().audit(page).await
    }
}

#[async_trait]
impl UserDataReads for SpyStore {
    async fn sessions_of(
        &self,
        user: UserId,
        after: Option<SessionId>,
        limit: u32,
    ) -> Result<Vec<Session>, StoreError> {
        self.read().sessions_of(user, after, limit).await
    }

    async fn events_of(
        &self,
        user: UserId,
        after: i64,
        limit: u32,
    ) -> Result<Vec<UserEvent>, StoreError> {
        self.read().events_of(user, after, limit).await
    }
}

#[async_trait]
impl JanitorStore for SpyStore {
    async fn sweep(
        &self,
        table: Swept,
        before: OffsetDateTime,
        limit: u32,
    ) -> Result<u64, StoreError> {
        self.write().sweep(table, before, limit).await
    }
}
