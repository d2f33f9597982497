//! The servers start, suffer what their verbs say, and leave nothing behind.

mod pair;
mod postgres;
mod proxy;
mod teardown;

use std::{
    future::Future,
    time::{Duration, Instant},
};

/// Asks until it is so; a test that waits for more than half a minute has failed.
async fn until<F: Future<Output = bool>>(what: &str, mut probe: impl FnMut() -> F) {
    let started = Instant::now();
    while !probe().await {
        assert!(started.elapsed() < Duration::from_secs(30), "no {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
