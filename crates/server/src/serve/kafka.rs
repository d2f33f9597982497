//! The loop that tells how Kafka and its registry are.

use std::{sync::Arc, time::Duration};

use sso_kafka::KafkaSink;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::health::{Dependency, Health};

/// How often Kafka and the registry are looked at.
const LOOK: Duration = Duration::from_secs(5);

/// Looks at Kafka and the registry, so that a problem is known before an event waits.
pub(super) async fn look(kafka: Arc<KafkaSink>, health: Arc<Health>, stop: CancellationToken) {
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        let Some(status) = stop.run_until_cancelled(kafka.look()).await else {
            return;
        };
        health.set(Dependency::Kafka, status.kafka.as_deref());
        health.set(Dependency::Registry, status.registry.as_deref());
    }
}
