//! Waiting for what is going to be so.

use std::time::Duration;

use anyhow::{Result, ensure};
use tokio::time::{Instant, sleep};

/// What is expected may take so long on a busy machine.
const LONG: Duration = Duration::from_mins(1);
/// Between two questions.
const PAUSE: Duration = Duration::from_millis(10);

/// Asks again until it holds; fails after a minute, and with the first error.
pub async fn eventually(what: &str, holds: impl AsyncFnMut() -> Result<bool>) -> Result<()> {
    eventually_within(LONG, what, holds).await
}

/// Asks again until it holds; fails after `limit`, and with the first error.
pub async fn eventually_within(
    limit: Duration,
    what: &str,
    mut holds: impl AsyncFnMut() -> Result<bool>,
) -> Result<()> {
    let started = Instant::now();
    while !holds().await? {
        ensure!(started.elapsed() < limit, "not within {limit:?}: {what}");
        sleep(PAUSE).await;
    }
    Ok(())
}
