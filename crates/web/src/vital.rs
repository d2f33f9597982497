//! What must not end before it is told to.

use tokio::task::JoinHandle;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Runs parts of the service without which it looks well and is not: a loop that has ended is seen by
/// nobody, since what it showed stays as it was. So the first that ends by itself, or panics, is the
/// end of the process, and its supervisor starts another.
#[derive(Debug, Clone)]
pub struct Vital {
    stop: CancellationToken,
    broken: CancellationToken,
    running: TaskTracker,
}

/// A part that runs, until it is dropped.
struct Part {
    name: &'static str,
    stop: CancellationToken,
    broken: CancellationToken,
}

impl Vital {
    /// Until `stop`; `broken` is cancelled when a part ends before.
    pub fn new(stop: CancellationToken, broken: CancellationToken) -> Self {
        Self {
            stop,
            broken,
            running: TaskTracker::new(),
        }
    }

    /// When its parts are to end.
    pub fn stop(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Runs a part, which ends when it is told to.
    pub fn spawn<T: Send + 'static>(
        &self,
        name: &'static str,
        work: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        let part = Part {
            name,
            stop: self.stop.clone(),
            broken: self.broken.clone(),
        };
        self.running.spawn(async move {
            let _part = part;
            work.await
        })
    }

    /// Waits for all parts, which have been told to end.
    pub async fn ended(&self) {
        self.running.close();
        self.running.wait().await;
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.stop.is_cancelled() {
            let part = self.name;
            tracing::error!(part, "a part of the service has ended by itself: draining");
            self.broken.cancel();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    fn vital() -> (Vital, CancellationToken, CancellationToken) {
        let (stop, broken) = (CancellationToken::new(), CancellationToken::new());
        (Vital::new(stop.clone(), broken.clone()), stop, broken)
    }

    #[tokio::test]
    async fn a_part_that_ends_or_panics_breaks_the_whole() {
        let ends: fn() = || {};
        let panics: fn() = || panic!("as a test wants it");
        for work in [ends, panics] {
            let (vital, _, broken) = vital();
            let stop = vital.stop();
            let other = vital.spawn("other", async move { stop.cancelled().await });
            vital.spawn("part", async move { work() });
            timeout(Duration::from_secs(10), broken.cancelled())
                .await
                .unwrap();
            assert!(!other.is_finished());
        }
    }

    #[tokio::test]
    async fn a_part_that_was_told_to_end_breaks_nothing() {
        let (vital, stop, broken) = vital();
        let told = vital.stop();
        vital.spawn("part", async move { told.cancelled().await });
        stop.cancel();
        timeout(Duration::from_secs(10), vital.ended())
            .await
            .unwrap();
        assert!(!broken.is_cancelled());
    }
}
