//! A hasher that is watched.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use async_trait::async_trait;
use sso_core::{
    ports::{HashError, Hasher, Verified, Work},
    values::{NewPassword, Password, PasswordHash},
};
use sso_testkit::{app::App, clock::ManualClock};

/// Counts what the hasher behind it does.
pub(crate) struct SpyHasher {
    inner: Arc<dyn Hasher>,
    clock: Arc<ManualClock>,
    /// How long a verification takes, by the app's clock.
    cost: Duration,
    /// Verifications against a stored hash.
    pub(crate) verified: AtomicUsize,
    /// Verifications for nobody.
    pub(crate) pretended: AtomicUsize,
}

impl SpyHasher {
    /// Puts itself between the app and its hasher.
    pub(crate) fn watch(app: &mut App, cost: Duration) -> Arc<Self> {
        let spy = Arc::new(Self {
            inner: Arc::clone(&app.sso.hasher),
            clock: Arc::clone(&app.clock),
            cost,
            verified: AtomicUsize::default(),
            pretended: AtomicUsize::default(),
        });
        app.sso.hasher = Arc::<Self>::clone(&spy);
        spy
    }

    /// Verifications since the last call: against a stored hash, and for nobody.
    pub(crate) fn take(&self) -> (usize, usize) {
        (
            self.verified.swap(0, Relaxed),
            self.pretended.swap(0, Relaxed),
        )
    }
}

#[async_trait]
impl Hasher for SpyHasher {
    async fn hash(&self, work: Work, password: NewPassword) -> Result<PasswordHash, HashError> {
        self.inner.hash(work, password).await
    }

    async fn rehash(&self, work: Work, password: Password) -> Result<PasswordHash, HashError> {
        self.inner.rehash(work, password).await
    }

    async fn verify(
        &self,
        work: Work,
        password: Password,
        hash: Option<PasswordHash>,
    ) -> Result<Verified, HashError> {
        let counter = if hash.is_some() {
            &self.verified
        } else {
            &self.pretended
        };
        counter.fetch_add(1, Relaxed);
        self.clock.advance(self.cost);
        self.inner.verify(work, password, hash).await
    }
}
