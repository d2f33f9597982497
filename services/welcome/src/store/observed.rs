//! A store whose work is seen in traces.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use sso_service::{database::StoreError, trace::stored};
use uuid::Uuid;

use super::{Claim, Mail, Store};

/// The store, and the kind of its database.
pub(super) struct Observed(pub(super) Arc<dyn Store>, pub(super) &'static str);

#[async_trait]
impl Store for Observed {
    async fn claim(&self, mail: Mail, by: Uuid, hold: Duration) -> Result<Claim, StoreError> {
        let work = self.0.claim(mail, by, hold);
        stored(self.1, "INSERT", "mails", work).await
    }

    async fn sent(&self, event: Uuid) -> Result<(), StoreError> {
        stored(self.1, "UPDATE", "mails", self.0.sent(event)).await
    }

    async fn release(&self, event: Uuid, by: Uuid) -> Result<(), StoreError> {
        stored(self.1, "UPDATE", "mails", self.0.release(event, by)).await
    }

    async fn forget(&self, user: Uuid) -> Result<u64, StoreError> {
        self.0.forget(user).await
    }

    async fn clean(&self, age: Duration, most: u32) -> Result<u64, StoreError> {
        self.0.clean(age, most).await
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.0.check().await
    }
}
