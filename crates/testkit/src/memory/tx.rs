use std::{
    sync::{Arc, RwLock},
    time::Duration,
};

use async_trait::async_trait;
use sso_core::{
    ports::{
        StoreError, Tx,
        store::{
            Ended, LifeWrites, Liveness, Moved, NewEvent, NewRevocation, NewSession, NewUser,
            OutboxWrites, PasswordChange, Revocation, RevocationWrites, Session, SessionWrites,
            User, UserWrites,
        },
    },
    values::{EventId, SessionId, UserId, Version},
};
use time::OffsetDateTime;
use tokio::sync::OwnedMutexGuard;

use super::{Committed, State, publish};

/// A copy that takes the place of what is committed. No other transaction runs meanwhile.
pub(super) struct MemoryTx {
    draft: State,
    failed: bool,
    committed: Arc<RwLock<Committed>>,
    _turn: OwnedMutexGuard<()>,
}

impl MemoryTx {
    pub(super) fn new(
        draft: State,
        committed: Arc<RwLock<Committed>>,
        turn: OwnedMutexGuard<()>,
    ) -> Self {
        Self {
            draft,
            failed: false,
            committed,
            _turn: turn,
        }
    }

    /// A transaction is over with its first error, as in a real database.
    pub(super) fn step<T>(
        &mut self,
        step: impl FnOnce(&mut State) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        if self.failed {
            return Err(over());
        }
        let result = step(&mut self.draft);
        self.failed = result.is_err();
        result
    }
}

fn over() -> StoreError {
    StoreError::unavailable("a statement of this transaction failed")
}

#[async_trait]
impl Tx for MemoryTx {
    async fn commit(self: Box<Self>) -> Result<(), StoreError> {
        if self.failed {
            return Err(over());
        }
        publish(&self.committed, self.draft);
        Ok(())
    }
}

#[async_trait]
impl UserWrites for MemoryTx {
    async fn insert_user(&mut self, user: &NewUser) -> Result<User, StoreError> {
        self.step(|state| state.insert_user(user))
    }

    async fn set_password(&mut self, change: &PasswordChange) -> Result<Option<User>, StoreError> {
        self.step(|state| Ok(state.set_password(change)))
    }

    async fn set_disabled(&mut self, user: UserId, to: bool) -> Result<Option<User>, StoreError> {
        self.step(|state| Ok(state.set_disabled(user, to)))
    }

    async fn set_admin(&mut self, user: UserId, to: bool) -> Result<Option<User>, StoreError> {
        self.step(|state| Ok(state.set_admin(user, to)))
    }

    async fn end_user_sessions(&mut self, user: UserId) -> Result<Option<User>, StoreError> {
        self.step(|state| Ok(state.end_user_sessions(user)))
    }
}

#[async_trait]
impl SessionWrites for MemoryTx {
    async fn open_session(
        &mut self,
        session: &NewSession,
        seen: Version,
    ) -> Result<Option<(User, Session)>, StoreError> {
        self.step(|state| state.open_session(session, seen))
    }

    async fn end_session(
        &mut self,
        id: SessionId,
        user: Option<UserId>,
        now: OffsetDateTime,
    ) -> Result<Ended, StoreError> {
        self.step(|state| Ok(state.end_session(id, user, now)))
    }

    async fn end_oldest_sessions(
        &mut self,
        user: UserId,
        keep: u32,
        alive: Liveness,
    ) -> Result<Vec<Session>, StoreError> {
        self.step(|state| Ok(state.end_oldest_sessions(user, keep, alive)))
    }
}

#[async_trait]
impl LifeWrites for MemoryTx {
    async fn remember_access_life(&mut self, life: Duration) -> Result<Duration, StoreError> {
        self.step(|state| {
            state.longest_access_life = state.longest_access_life.max(life);
            Ok(state.longest_access_life)
        })
    }

    async fn longest_access_life(&mut self) -> Result<Duration, StoreError> {
        self.step(|state| Ok(state.longest_access_life))
    }
}

#[async_trait]
impl RevocationWrites for MemoryTx {
    async fn revoke(&mut self, revocation: &NewRevocation) -> Result<Revocation, StoreError> {
        self.step(|state| Ok(state.revoke(revocation)))
    }

    async fn revoked_before(
        &mut self,
        revocation: &NewRevocation,
    ) -> Result<Revocation, StoreError> {
        self.step(|state| Ok(state.revoked_before(revocation)))
    }
}

#[async_trait]
impl OutboxWrites for MemoryTx {
    async fn append_event(&mut self, event: &NewEvent) -> Result<(), StoreError> {
        self.step(|state| state.append_event(event))
    }

    async fn resend_event(&mut self, id: EventId) -> Result<Moved, StoreError> {
        self.step(|state| Ok(state.resend_event(id)))
    }

    async fn skip_event(&mut self, id: EventId, now: OffsetDateTime) -> Result<Moved, StoreError> {
        self.step(|state| Ok(state.skip_event(id, now)))
    }
}
