//! What these tests share.

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Result;
use sso_testkit::{persona::auth, process::Site};
use tokio::{sync::Semaphore, task::JoinSet};

/// The binary under test.
pub(crate) const SSO: &str = env!("CARGO_BIN_EXE_sso");

/// A new site of the binary under test.
pub(crate) fn site() -> Result<Site> {
    Site::new(SSO)
}

/// Runs `count` rounds, `width` at once, and fails with the first that failed.
pub(crate) async fn rounds<F>(count: usize, width: usize, round: impl Fn(usize) -> F) -> Result<()>
where
    F: Future<Output = Result<()>> + Send + 'static,
{
    let room = Arc::new(Semaphore::new(width));
    let mut running = JoinSet::new();
    for number in 0..count {
        let permit = room.clone().acquire_owned().await?;
        let round = round(number);
        running.spawn(async move {
            let result = round.await;
            drop(permit);
            result
        });
        while let Some(done) = running.try_join_next() {
            done??;
        }
    }
    while let Some(done) = running.join_next().await {
        done??;
    }
    Ok(())
}

/// Asks again until it holds; fails after 5 seconds.
pub(crate) async fn eventually(what: &str, holds: impl AsyncFn() -> Result<bool>) -> Result<()> {
    eventually_within(Duration::from_secs(5), what, holds).await
}

/// Asks again until it holds; fails after `limit`.
pub(crate) async fn eventually_within(
    limit: Duration,
    what: &str,
    holds: impl AsyncFn() -> Result<bool>,
) -> Result<()> {
    let started = Instant::now();
    while started.elapsed() < limit {
        if holds().await? {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    anyhow::bail!("not within {limit:?}: {what}")
}

/// A question to Validate.
pub(crate) fn validate(token: &str) -> auth::ValidateRequest {
    auth::ValidateRequest {
        token: token.to_owned(),
    }
}
