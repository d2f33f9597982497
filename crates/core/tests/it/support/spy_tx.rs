use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use async_trait::async_trait;
use sso_core::{
    ports::{
        StoreError, Tx,
        store::{
            AuditWrites, Ended, Imported, ImportedUser, KeyWrites, LifeWrites, LifecycleWrites,
            Liveness, Moved, NewAudit, NewEvent, NewRevocation, NewSession, NewUser, OutboxWrites,
            PasswordChange, Retirement, Revocation, RevocationWrites, SealedKey, Session,
            SessionWrites, User, UserWrites,
        },
    },
    values::{EventId, SessionId, UserId, Version},
};
use time::OffsetDateTime;

/// A transaction whose commit can fail.
pub(super) struct SpyTx {
    pub(super) inner: Box<dyn Tx>,
    pub(super) fail: Arc<AtomicBool>,
    pub(super) undo: Arc<AtomicUsize>,
}

#[async_trait]
impl Tx for SpyTx {
    async fn commit(self: Box<Self>) -> Result<(), StoreError> {
        if self.fail.swap(false, Relaxed) {
            return Err(StoreError::unavailable("as the test wants"));
        }
        let left = |left: usize| left.checked_sub(1);
        if self.undo.fetch_update(Relaxed, Relaxed, left).is_ok() {
            return Err(StoreError::undone("as the test wants"));
        }
        self.inner.commit().await
    }
}

#[async_trait]
impl UserWrites for SpyTx {
    async fn insert_user(&mut self, user: &NewUser) -> Result<User, StoreError> {
        self.inner.insert_user(user).await
    }

    async fn set_password(&mut self, change: &PasswordChange) -> Result<Option<User>, StoreError> {
        self.inner.set_password(change).await
    }

    async fn set_disabled(&mut self, user: UserId, to: bool) -> Result<Option<User>, StoreError> {
        self.inner.set_disabled(user, to).await
    }

    async fn set_admin(&mut self, user: UserId, to: bool) -> Result<Option<User>, StoreError> {
        self.inner.set_admin(user, to).await
    }

    async fn end_user_sessions(&mut self, user: UserId) -> Result<Option<User>, StoreError> {
        self.inner.end_user_sessions(user).await
    }
}

#[async_trait]
impl SessionWrites for SpyTx {
    async fn open_session(
        &mut self,
        session: &NewSession,
        seen: Version,
    ) -> Result<Option<(User, Session)>, StoreError> {
        self.inner.open_session(session, seen).await
    }

    async fn end_session(
        &mut self,
        id: SessionId,
        user: Option<UserId>,
        now: OffsetDateTime,
    ) -> Result<Ended, StoreError> {
        self.inner.end_session(id, user, now).await
    }

    async fn end_oldest_sessions(
        &mut self,
        user: UserId,
        keep: u32,
        alive: Liveness,
    ) -> Result<Vec<Session>, StoreError> {
        self.inner.end_oldest_sessions(user, keep, alive).await
    }
}

#[async_trait]
impl RevocationWrites for SpyTx {
    async fn revoke(&mut self, revocation: &NewRevocation) -> Result<Revocation, StoreError> {
        self.inner.revoke(revocation).await
    }

    async fn revoked_before(
        &mut self,
        revocation: &NewRevocation,
    ) -> Result<Revocation, StoreError> {
        self.inner.revoked_before(revocation).await
    }
}

#[async_trait]
impl OutboxWrites for SpyTx {
    async fn append_event(&mut self, event: &NewEvent) -> Result<(), StoreError> {
        self.inner.append_event(event).await
    }

    async fn resend_event(&mut self, id: EventId) -> Result<Moved, StoreError> {
        self.inner.resend_event(id).await
    }

    async fn skip_event(&mut self, id: EventId, now: OffsetDateTime) -> Result<Moved, StoreError> {
        self.inner.skip_event(id, now).await
    }
}

#[async_trait]
impl KeyWrites for SpyTx {
    async fn insert_keys(
        &mut self,
        new: &[SealedKey],
        seen: &[SealedKey],
    ) -> Result<bool, StoreError> {
        self.inner.insert_keys(new, seen).await
    }

    async fn retire_key(
        &mut self,
        id: &str,
        now: OffsetDateTime,
    ) -> Result<Retirement, StoreError> {
        self.inner.retire_key(id, now).await
    }

    async fn reseal_keys(
        &mut self,
        resealed: &[SealedKey],
        seen: &[SealedKey],
    ) -> Result<bool, StoreError> {
        self.inner.reseal_keys(resealed, seen).await
    }
}

#[async_trait]
impl AuditWrites for SpyTx {
    async fn append_audits(&mut self, records: &[NewAudit]) -> Result<(), StoreError> {
        self.inner.append_audits(records).await
    }
}

#[async_trait]
impl LifeWrites for SpyTx {
    async fn remember_access_life(&mut self, life: Duration) -> Result<Duration, StoreError> {
        self.inner.remember_access_life(life).await
    }

    async fn longest_access_life(&mut self) -> Result<Duration, StoreError> {
        self.inner.longest_access_life().await
    }
}

#[async_trait]
impl LifecycleWrites for SpyTx {
    async fn import_users(&mut self, users: &[ImportedUser]) -> Result<Vec<Imported>, StoreError> {
        self.inner.import_users(users).await
    }

    async fn delete_user(
        &mut self,
        user: UserId,
        now: OffsetDateTime,
    ) -> Result<Option<User>, StoreError> {
        self.inner.delete_user(user, now).await
    }
}
