//! The small loops, of one step each: the audit log, gRPC's health, the metrics.

use std::{sync::Arc, time::Duration};

use sso_core::{Sso, revocation::Revocations, usecases::audit};
use sso_telemetry::Metrics;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::beat::BEAT;

/// How often what strangers repeat is looked through for what is to be written.
const AUDIT: Duration = Duration::from_secs(1);

/// Writes what strangers repeat to the audit log; at the end all of it.
pub(super) async fn audit(sso: Sso, stop: CancellationToken) {
    let mut ticks = interval(AUDIT);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let goes_on = stop.run_until_cancelled(ticks.tick()).await.is_some();
        match audit::flush(&sso, !goes_on).await {
            Ok(_) => {}
            Err(error) if goes_on => {
                tracing::warn!(%error, "records of the audit log wait for the store");
            }
            Err(error) => tracing::error!(%error, "records of the audit log are lost"),
        }
        if !goes_on {
            return;
        }
    }
}

/// Tells gRPC's health what readiness says, as often as a beat may change that.
pub(super) async fn tell(
    revocations: Arc<Revocations>,
    health: sso_grpc::Health,
    stop: CancellationToken,
) {
    let mut ticks = interval(BEAT);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        health.set_able(revocations.is_trusted());
    }
}

/// Keeps what the metrics hold in memory bounded between scrapes.
pub(super) async fn upkeep(metrics: Metrics, stop: CancellationToken) {
    let mut ticks = interval(Metrics::UPKEEP);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        metrics.run_upkeep();
    }
}
