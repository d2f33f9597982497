//! The loop that follows the signing keys: reads what others changed, makes and retires by itself.

use std::{sync::Arc, time::Duration};

use sso_core::{
    Sso,
    usecases::keys::{self as usecases, Tended},
};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use super::{
    health::{Dependency, Health},
    key_metrics,
};
use crate::wiring::{Keys, Parts};

/// Time between two looks at the stored keys. Every instance must have seen a key well within
/// [`usecases::SPREAD`].
const LOOK: Duration = Duration::from_millis(500);
/// Longest wait for the answer to a look.
const LOOK_TIMEOUT: Duration = Duration::from_secs(2);
/// Pause after keys could not be made or retired.
const BACKOFF: Duration = Duration::from_secs(30);

/// Follows the keys until it is told to stop.
pub(super) fn follow(
    parts: &Parts,
    health: Arc<Health>,
    stop: CancellationToken,
) -> impl Future<Output = ()> + use<> {
    let (sso, keys) = (parts.sso.clone(), Arc::clone(&parts.keys));
    async move {
        let mut ticks = interval(LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut tend_from = Instant::now();
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            let problem = look(&sso, &keys).await;
            health.set(Dependency::Keys, problem.as_deref());
            key_metrics::show(&keys.stored(), &sso.policy.keys, sso.clock.now());
            if problem.is_none() && Instant::now() >= tend_from && !tend(&sso, &keys).await {
                tend_from = Instant::now() + BACKOFF;
            }
        }
    }
}

async fn look(sso: &Sso, keys: &Keys) -> Option<String> {
    let look = keys.look(sso.store.as_ref(), sso.clock.as_ref());
    match timeout(LOOK_TIMEOUT, look).await {
        Ok(Ok(problem)) => problem,
        Ok(Err(error)) => Some(error.to_string()),
        Err(_) => Some(format!("no answer within {LOOK_TIMEOUT:?}")),
    }
}

/// Makes and retires what is due. `false`: it could not.
async fn tend(sso: &Sso, keys: &Keys) -> bool {
    if !usecases::is_due(&sso.policy, &keys.stored(), sso.clock.now()) {
        return true;
    }
    match usecases::tend(sso).await {
        Ok(Tended { made, retired }) => {
            tracing::info!(made, retired, "the signing keys were tended");
            true
        }
        Err(error) => {
            tracing::error!(%error, "signing keys could not be made or retired");
            false
        }
    }
}
