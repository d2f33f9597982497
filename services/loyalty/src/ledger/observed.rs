//! A ledger whose work is bounded in time, and seen in traces and metrics.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use sso_service::database::{Opened, StoreError};
use uuid::Uuid;

use super::{Checked, Credited, Ledger, Line, Order, Posted};

/// The ledger, and its database.
pub(super) struct Observed(pub(super) Arc<dyn Ledger>, pub(super) Opened);

#[async_trait]
impl Ledger for Observed {
    async fn credit(&self, event: Uuid, user: Uuid, points: i64) -> Result<Credited, StoreError> {
        let work = self.0.credit(event, user, points);
        self.1.observed("INSERT", "transfers", work).await
    }

    async fn post(&self, order: Order) -> Result<Posted, StoreError> {
        self.1
            .observed("INSERT", "transfers", self.0.post(order))
            .await
    }

    async fn balance(&self, user: Uuid) -> Result<Option<i64>, StoreError> {
        self.1
            .observed("SELECT", "accounts", self.0.balance(user))
            .await
    }

    async fn lines(
        &self,
        user: Uuid,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Option<Vec<Line>>, StoreError> {
        let work = self.0.lines(user, before, limit);
        self.1.observed("SELECT", "entries", work).await
    }

    async fn check(&self) -> Result<Checked, StoreError> {
        // It has a limit of its own.
        self.0.check().await
    }

    async fn forget(&self, user: Uuid) -> Result<bool, StoreError> {
        self.1.limited(self.0.forget(user)).await
    }

    async fn clean(&self, age: Duration, most: u32) -> Result<u64, StoreError> {
        self.1.limited(self.0.clean(age, most)).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.1.limited(self.0.ping()).await
    }
}
