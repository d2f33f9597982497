//! A store whose work is bounded in time, and seen in traces and metrics.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use sso_service::database::{Opened, StoreError};
use uuid::Uuid;

use super::{Claim, Mail, Progress, Store};

/// The store, and its database.
pub(super) struct Observed(pub(super) Arc<dyn Store>, pub(super) Opened);

#[async_trait]
impl Store for Observed {
    async fn claim(&self, mail: Mail, by: Uuid, hold: Duration) -> Result<Claim, StoreError> {
        let work = self.0.claim(mail, by, hold);
        self.1.observed("INSERT", "mails", work).await
    }

    async fn progress(&self, event: Uuid) -> Result<Progress, StoreError> {
        let work = self.0.progress(event);
        self.1.observed("SELECT", "mails", work).await
    }

    async fn sent(&self, mail: Mail, by: Uuid) -> Result<(), StoreError> {
        self.1
            .observed("UPDATE", "mails", self.0.sent(mail, by))
            .await
    }

    async fn release(&self, event: Uuid, by: Uuid) -> Result<(), StoreError> {
        self.1
            .observed("UPDATE", "mails", self.0.release(event, by))
            .await
    }

    async fn forget(&self, user: Uuid) -> Result<u64, StoreError> {
        self.1.limited(self.0.forget(user)).await
    }

    async fn clean(&self, age: Duration, most: u32) -> Result<u64, StoreError> {
        self.1.limited(self.0.clean(age, most)).await
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.1.limited(self.0.check()).await
    }
}
