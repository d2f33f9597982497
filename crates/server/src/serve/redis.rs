//! The loops around Redis.

use std::{sync::Arc, time::Duration};

use sso_core::{Sso, ports::store::Revocation};
use sso_redis::{Redis, Status};
use sso_web::vital::Vital;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::health::{Dependency, Health};
use crate::wiring::Helpers;

/// How often its state is looked at: that costs nothing.
const LOOK: Duration = Duration::from_millis(500);

/// Starts them; without Redis none.
pub(super) fn start(helpers: Option<&Helpers>, sso: &Sso, health: &Arc<Health>, vital: &Vital) {
    let Some(helpers) = helpers else { return };
    let (redis, stop) = (helpers.redis.clone(), vital.stop());
    vital.spawn("Redis", async move { redis.follow(stop).await });
    let (stream, stop) = (Arc::clone(&helpers.stream), vital.stop());
    vital.spawn("stream, written", async move { stream.append(stop).await });
    let (stream, stop) = (Arc::clone(&helpers.stream), vital.stop());
    let revocations = Arc::clone(&sso.revocations);
    vital.spawn("stream, read", async move {
        let hear = |entries: &[Revocation]| revocations.hint(entries);
        stream.read(hear, stop).await;
    });
    if let Some(throttle) = helpers.throttle.clone() {
        let stop = vital.stop();
        vital.spawn("throttle", async move { throttle.tell(stop).await });
    }
    let look = look(helpers.redis.clone(), health.clone(), vital.stop());
    vital.spawn("look at Redis", look);
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
