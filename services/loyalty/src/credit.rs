//! What is done with a registration.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use sso_kafka::consumer::{Event, Handler, Outcome};
use sso_service::database::StoreError;

use crate::{
    ledger::{Credited, Ledger},
    metrics,
};

/// Pause while the ledger is away.
const PAUSE: Duration = Duration::from_secs(1);

/// Credits the points of a registration, once.
pub(crate) struct Credit {
    pub(crate) ledger: Arc<dyn Ledger>,
    pub(crate) points: i64,
}

#[async_trait]
impl Handler for Credit {
    async fn handle(&self, event: &Event) -> Outcome {
        match self.ledger.credit(event.id, event.user, self.points).await {
            Ok(Credited::Now) => {
                metrics::credit("credited");
                tracing::info!(points = self.points, "the welcome points are credited");
                Outcome::Done
            }
            Ok(Credited::Before) => {
                metrics::credit("known");
                tracing::debug!("the welcome points were credited before");
                Outcome::Done
            }
            Ok(Credited::TooMuch) => {
                metrics::credit("too_much");
                Outcome::Park("the account cannot hold so many points".to_owned())
            }
            Ok(Credited::Forgotten) => {
                metrics::credit("forgotten");
                tracing::info!("the user is forgotten: no points are credited");
                Outcome::Done
            }
            Err(error @ StoreError::Refused(_)) => {
                tracing::error!(%error, "points wait: this is a fault");
                Outcome::Retry(PAUSE * 10)
            }
            Err(error) => {
                tracing::warn!(%error, "points wait for the database");
                Outcome::Retry(PAUSE)
            }
        }
    }
}
