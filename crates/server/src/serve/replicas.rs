//! The loop that tells how the replicas are.

use std::{sync::Arc, time::Duration};

use sso_store_postgres::servers::{ReplicaState, Servers};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::health::{Dependency, Health};

/// Time between two looks, at what others keep up to date.
const LOOK: Duration = Duration::from_millis(200);

/// Follows the replicas until it is told to stop.
pub(super) async fn follow(servers: Servers, health: Arc<Health>, stop: CancellationToken) {
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        for (at, (name, state)) in servers.replicas().into_iter().enumerate() {
            let dependency = Dependency::Replica(at);
            let (well, sentence) = described(&name, state);
            health.set(dependency, (!well).then_some(&*sentence));
            if well {
                health.describe(dependency, sentence);
            }
        }
    }
}

/// Whether it serves, and what an operator reads of it.
fn described(name: &str, state: ReplicaState) -> (bool, String) {
    match state {
        ReplicaState::Read(lag) => (true, format!("{name} is {} behind", seconds(lag))),
        ReplicaState::Primary => (true, format!("{name} is the primary now")),
        ReplicaState::Behind(Some(lag)) => (
            false,
            format!(
                "{name} is {} behind, more than database.max_lag",
                seconds(lag)
            ),
        ),
        ReplicaState::Behind(None) => (false, format!("{name} has not shown a beat yet")),
        ReplicaState::Away => (false, format!("{name} does not answer as a replica")),
    }
}

fn seconds(lag: Duration) -> String {
    format!("{:.1} s", lag.as_secs_f64())
}
