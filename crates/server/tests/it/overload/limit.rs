//! What the machine can hash.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Result;
use sso_core::{
    Network,
    ports::{Hasher, Queue, Work},
    values::Password,
};
use sso_crypto::{HashPool, HashPoolSettings, SystemRandom};
use tokio::task::JoinSet;

use super::float;

/// Hashes a second on a pool in this process, for so long, while the server rests.
pub(super) async fn pure_hashing(run: Duration) -> Result<f64> {
    // However slow the machine: who waits here is no user.
    let settings = HashPoolSettings {
        deadline: Duration::from_mins(1),
        ..HashPoolSettings::default()
    };
    let pool = Arc::new(HashPool::start(settings, Arc::new(SystemRandom))?);
    let password = Password::parse("password", "the secret of nobody");
    let password = password.map_err(|bad| anyhow::anyhow!("{bad:?}"))?;
    let (mut running, started) = (JoinSet::new(), Instant::now());
    // One that hashes and one that waits for each core: more would be refused where a busy machine is slow.
    let clients = 2 * std::thread::available_parallelism()?.get();
    for _ in 0..clients {
        let (pool, password) = (Arc::clone(&pool), password.clone());
        running.spawn(async move {
            let mut count = 0_u64;
            while started.elapsed() < run {
                let work = Work {
                    queue: Queue::Login,
                    network: Network::UNKNOWN,
                };
                pool.rehash(work, password.clone()).await?;
                count += 1;
            }
            anyhow::Ok(count)
        });
    }
    let mut hashes = 0;
    while let Some(count) = running.join_next().await {
        hashes += count??;
    }
    Ok(float(hashes) / started.elapsed().as_secs_f64())
}
