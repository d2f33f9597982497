//! What other instances revoke, and they of this one: by its leases.

use std::time::Duration;

use async_trait::async_trait;
use sso_core::ports::{
    StoreError,
    store::{Answer, Question, Reach, Revocation, RevocationFeed},
};

use crate::{leases::Leases, store::PostgresStore};

impl PostgresStore {
    /// With the leases of this process. Without them nothing tells of revocations, and none is
    /// acknowledged: tools that revoke nothing need none.
    #[must_use]
    pub fn with_leases(mut self, leases: Leases) -> Self {
        self.leases = Some(leases);
        self
    }

    fn leases(&self) -> Result<&Leases, StoreError> {
        self.leases
            .as_ref()
            .ok_or_else(|| StoreError::unavailable("this process has no leases"))
    }
}

#[async_trait]
impl RevocationFeed for PostgresStore {
    async fn beat(&self, question: Question<'_>) -> Result<Answer, StoreError> {
        self.leases()?.beat(question).await
    }

    async fn acknowledged(
        &self,
        revocation: &Revocation,
        wait: Duration,
    ) -> Result<Reach, StoreError> {
        self.leases()?.acknowledged(revocation, wait).await
    }

    async fn leave(&self) -> Result<(), StoreError> {
        self.leases()?.leave().await
    }
}
