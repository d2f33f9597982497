//! The loops around Redis.

use std::{sync::Arc, time::Duration};

use sso_core::{Sso, ports::store::Revocation};
use sso_redis::{Redis, Status};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::health::{Dependency, Health};
use crate::wiring::Helpers;

/// How often its state is looked at: that costs nothing.
const LOOK: Duration = Duration::from_millis(500);

/// Starts them; without Redis none.
pub(super) fn start(
    helpers: Option<&Helpers>,
    sso: &Sso,
    health: &Arc<Health>,
    running: &TaskTracker,
    stop: &CancellationToken,
) {
    let Some(helpers) = helpers else { return };
    let (redis, ends) = (helpers.redis.clone(), stop.clone());
    running.spawn(async move { redis.follow(ends).await });
    let (stream, ends) = (Arc::clone(&helpers.stream), stop.clone());
    running.spawn(async move { stream.append(ends).await });
    let (stream, ends) = (Arc::clone(&helpers.stream), stop.clone());
    let revocations = Arc::clone(&sso.revocations);
    running.spawn(async move {
        let hear = |entries: &[Revocation]| revocations.hint(entries);
        stream.read(hear, ends).await;
    });
    if let Some(throttle) = helpers.throttle.clone() {
        let ends = stop.clone();
        running.spawn(async move { throttle.tell(ends).await });
    }
    running.spawn(look(helpers.redis.clone(), health.clone(), stop.clone()));
}

async fn look(redis: Redis, health: Arc<Health>, stop: CancellationToken) {
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        match redis.status() {
            Status::Unknown => {}
            Status::Up(master) => {
                health.set(Dependency::Redis, None);
                let state = format!("the master is {master}");
                health.describe(Dependency::Redis, state);
            }
            Status::Down(problem) => health.set(Dependency::Redis, Some(&problem)),
        }
    }
}
