//! A store in memory, with the semantics of the real ones.

mod keys;
mod lifecycle;
mod outbox;
mod state;
mod tx;

use std::{
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use sso_core::{
    Network,
    ports::{
        Store, StoreError, Tx,
        store::{
            Answer, Backlog, Delivered, EventPage, Freshness, KeyStore, Liveness, NetworkReads,
            OutboxStore, PendingEvent, Question, Reach, RetiredKey, Revocation, RevocationFeed,
            Rotate, Rotation, SealedKey, Session, SessionStore, Snapshot, StoredEvent, User,
            UserPage, UserStore,
        },
    },
    values::{Email, EventId, PasswordHash, SessionId, ShardSet, UserId},
};
use state::State;
use time::OffsetDateTime;
use tokio::sync::Mutex;
use tx::MemoryTx;

/// What readers see: never half a transaction.
type Committed = Arc<State>;

/// A [`Store`] in memory. A transaction works on a copy; its commit swaps it in. One transaction at
/// a time; readers never wait for it.
#[derive(Debug, Default)]
pub struct MemoryStore {
    committed: Arc<RwLock<Committed>>,
    /// Whose turn it is to write.
    turn: Arc<Mutex<()>>,
    /// The last revocation that a beat has told.
    told: AtomicI64,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> Committed {
        Arc::clone(
            &self
                .committed
                .read()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }

    /// A transaction of one step.
    async fn write<T>(&self, step: impl FnOnce(&mut State) -> T + Send) -> T {
        let _turn = self.turn.lock().await;
        let mut draft = State::clone(&self.state());
        let result = step(&mut draft);
        publish(&self.committed, draft);
        result
    }
}

fn publish(committed: &RwLock<Committed>, draft: State) {
    *committed.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(draft);
}

#[async_trait]
impl Store for MemoryStore {
    async fn begin(&self) -> Result<Box<dyn Tx>, StoreError> {
        let turn = Arc::clone(&self.turn).lock_owned().await;
        let draft = State::clone(&self.state());
        let committed = Arc::clone(&self.committed);
        Ok(Box::new(MemoryTx::new(draft, committed, turn)))
    }

    async fn ping(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

#[async_trait]
impl UserStore for MemoryStore {
    async fn user_by_email(
        &self,
        email: &Email,
        _fresh: Freshness,
    ) -> Result<Option<User>, StoreError> {
        Ok(self
            .state()
            .users
            .values()
            .find(|user| user.email.canonical() == email.canonical())
            .cloned())
    }

    async fn user(&self, id: UserId, _fresh: Freshness) -> Result<Option<User>, StoreError> {
        Ok(self.state().users.get(&id).cloned())
    }

    async fn users(&self, page: UserPage) -> Result<Vec<User>, StoreError> {
        Ok(self
            .state()
            .users
            .values()
            .filter(|user| page.after.is_none_or(|after| user.id > after))
            .take(page.limit as usize)
            .cloned()
            .collect())
    }

    async fn rehash(
        &self,
        user: UserId,
        verified: &PasswordHash,
        new: &PasswordHash,
    ) -> Result<bool, StoreError> {
        Ok(self.write(|state| state.rehash(user, verified, new)).await)
    }
}

#[async_trait]
impl SessionStore for MemoryStore {
    async fn session(&self, id: SessionId) -> Result<Option<Session>, StoreError> {
        Ok(self.state().sessions.get(&id).cloned())
    }

    async fn live_sessions(
        &self,
        user: UserId,
        alive: Liveness,
    ) -> Result<Vec<Session>, StoreError> {
        Ok(self.state().live_sessions(user, alive))
    }

    async fn rotate(&self, rotate: Rotate) -> Result<Rotation, StoreError> {
        Ok(self.write(|state| state.rotate(&rotate)).await)
    }
}

#[async_trait]
impl NetworkReads for MemoryStore {
    async fn knows_network(&self, email: &Email, network: Network) -> Result<bool, StoreError> {
        Ok(self.state().knows_network(email, network))
    }
}

#[async_trait]
impl OutboxStore for MemoryStore {
    async fn pending_events(
        &self,
        shards: ShardSet,
        limit: u32,
    ) -> Result<Vec<PendingEvent>, StoreError> {
        Ok(self.state().pending_events(shards, limit))
    }

    async fn settle_events(
        &self,
        settled: &[(EventId, Delivered)],
        now: OffsetDateTime,
    ) -> Result<(), StoreError> {
        self.write(|state| {
            for (id, delivered) in settled {
                state.settle_event(*id, *delivered, now);
            }
        })
        .await;
        Ok(())
    }

    async fn events(&self, page: EventPage) -> Result<Vec<StoredEvent>, StoreError> {
        Ok(self.state().events(page))
    }

    async fn backlog(&self) -> Result<Backlog, StoreError> {
        Ok(self.state().backlog())
    }
}

#[async_trait]
impl KeyStore for MemoryStore {
    async fn keys(&self) -> Result<Vec<SealedKey>, StoreError> {
        Ok(self.state().keys.clone())
    }

    async fn retired_keys(&self, limit: u32) -> Result<Vec<RetiredKey>, StoreError> {
        let state = self.state();
        let newest = state.retired_keys.iter().rev();
        Ok(newest.take(limit as usize).cloned().collect())
    }

    async fn insert_first_keys(&self, keys: &[SealedKey]) -> Result<Vec<SealedKey>, StoreError> {
        Ok(self.write(|state| state.insert_first_keys(keys)).await)
    }
}

#[async_trait]
impl RevocationFeed for MemoryStore {
    async fn beat(&self, question: Question<'_>) -> Result<Answer, StoreError> {
        let state = self.state();
        let told = self.told.load(Ordering::Acquire);
        let last = state.revocations.last().map_or(told, |entry| entry.id);
        self.told.store(last, Ordering::Release);
        let news = state.revocations.iter();
        let entries = news
            .filter(|entry| entry.id > told && entry.until >= question.now)
            .copied()
            .collect();
        Ok(Answer {
            at: None,
            entries,
            timeline: 0,
            snapshot: Snapshot::up_to(last.unsigned_abs()),
        })
    }

    /// There is no other instance.
    async fn acknowledged(
        &self,
        _revocation: &Revocation,
        _wait: Duration,
    ) -> Result<Reach, StoreError> {
        Ok(Reach::Everywhere)
    }

    async fn leave(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
