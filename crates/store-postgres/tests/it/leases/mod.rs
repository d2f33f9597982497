//! The protocol of the leases on real servers.
//!
//! Instances live in this process; each has a clock of its own that a test moves on, and sends a
//! beat when the test says so. A gate in the database holds a beat inside its statement: its
//! snapshot is taken, its row is locked, it has not committed.

mod acknowledgements;
mod beats;
mod failover;
pub(crate) mod instance;
mod timelines;
mod world;

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

/// `L` of the tests: long enough for a busy machine, and most of it passes on clocks that are
/// moved by hand.
const LEASE: Duration = Duration::from_secs(20);
const FENCE: Duration = Duration::from_secs(1);
/// Longer than 1.2 L.
const BOUND: Duration = Duration::from_millis(24_100);
/// 1.2 L + fence, and a little.
const QUIET: Duration = Duration::from_millis(25_200);
/// For what must come, however busy the machine is.
const LIMIT: Duration = Duration::from_secs(30);

/// Waits until it is so.
async fn eventually(what: &str, mut probe: impl AsyncFnMut() -> Result<bool>) -> Result<()> {
    let start = Instant::now();
    while !probe().await? {
        ensure!(start.elapsed() < LIMIT, "{what} did not come");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}
