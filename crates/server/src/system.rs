//! The operating system behind the ports of the clock and of work after the answer.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use async_trait::async_trait;
use rustix::time::{ClockId, clock_gettime};
use sso_core::ports::{Clock, Tasks};
use time::OffsetDateTime;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

/// Work after the answer that may be under way at once.
const MAX_TASKS: usize = 64;

/// The machine's clocks.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the Clock port")]
    fn now(&self) -> OffsetDateTime {
        OffsetDateTime::now_utc()
    }

    fn monotonic(&self) -> Duration {
        // Unlike CLOCK_MONOTONIC it goes on while the machine is suspended: a lease must not
        // outlive a suspension.
        let time = clock_gettime(ClockId::Boottime);
        Duration::new(
            u64::try_from(time.tv_sec).unwrap_or(0),
            u32::try_from(time.tv_nsec).unwrap_or(0),
        )
    }

    async fn sleep_until(&self, until: Duration) {
        // The runtime's timer does not count suspension, so look at the clock once more.
        while let Some(left) = until
            .checked_sub(self.monotonic())
            .filter(|left| !left.is_zero())
        {
            tokio::time::sleep(left).await;
        }
    }
}

/// Work after the answer, on the runtime: at most 64 at once, the rest is dropped.
#[derive(Debug, Clone)]
pub(crate) struct RuntimeTasks {
    tracker: TaskTracker,
    room: Arc<Semaphore>,
}

impl RuntimeTasks {
    /// Work that `tracker` waits for.
    pub(crate) fn new(tracker: TaskTracker) -> Self {
        Self {
            tracker,
            room: Arc::new(Semaphore::new(MAX_TASKS)),
        }
    }
}

impl Tasks for RuntimeTasks {
    fn spawn(&self, task: Pin<Box<dyn Future<Output = ()> + Send>>) {
        if let Ok(permit) = self.room.clone().try_acquire_owned() {
            self.tracker.spawn(async move {
                task.await;
                drop(permit);
            });
        }
    }
}
