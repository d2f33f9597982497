//! The loop that deletes what is old.

use std::time::Duration;

use sso_core::{
    Sso,
    ports::{StoreError, store::Swept},
    usecases::janitor::{Ages, sweep},
};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

/// Between two batches, for everybody else.
const BREATH: Duration = Duration::from_millis(50);

/// Deletes what is past its age, table after table, batch after batch.
pub(super) async fn run(sso: Sso, ages: Ages, every: Duration, stop: CancellationToken) {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        for table in Swept::ALL {
            let swept = stop.run_until_cancelled(clear(&sso, table, &ages));
            if let Some(Err(error)) = swept.await {
                let table = table.as_str();
                tracing::warn!(table, %error, "the janitor could not delete what is old");
            }
        }
    }
}

async fn clear(sso: &Sso, table: Swept, ages: &Ages) -> Result<(), StoreError> {
    while let (_, true) = sweep(sso, table, ages).await? {
        tokio::time::sleep(BREATH).await;
    }
    Ok(())
}
