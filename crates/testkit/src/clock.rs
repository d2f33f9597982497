//! A clock that is moved by hand.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use sso_core::ports::Clock;
use time::{OffsetDateTime, macros::datetime};
use tokio::sync::watch;

/// Where a [`ManualClock`] starts: 2026-01-01 00:00 UTC.
pub const START: OffsetDateTime = datetime!(2026-01-01 00:00 UTC);

/// A [`Clock`] that stands still until it is moved.
#[derive(Debug)]
pub struct ManualClock {
    monotonic: watch::Sender<Duration>,
    /// How far the wall clock was set, beside what passed.
    jumped: Mutex<time::Duration>,
}

impl ManualClock {
    /// Stands at [`START`], its monotonic time at one hour: not at zero, which would hide a lease
    /// that was never taken.
    pub fn new() -> Self {
        Self {
            monotonic: watch::Sender::new(Duration::from_hours(1)),
            jumped: Mutex::default(),
        }
    }

    /// Lets time pass, and wakes whom it wakes.
    pub fn advance(&self, by: Duration) {
        self.monotonic.send_modify(|now| *now += by);
    }

    /// Sets the wall clock forward or back, as an operator or NTP does: nobody is woken.
    pub fn jump(&self, by: time::Duration) {
        *self.jumped.lock().unwrap_or_else(PoisonError::into_inner) += by;
    }

    /// How many sleep.
    pub fn sleepers(&self) -> usize {
        self.monotonic.receiver_count()
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Clock for ManualClock {
    fn now(&self) -> OffsetDateTime {
        let passed = self.monotonic().saturating_sub(Duration::from_hours(1));
        START + passed + *self.jumped.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn monotonic(&self) -> Duration {
        *self.monotonic.borrow()
    }

    async fn sleep_until(&self, until: Duration) {
        // An error would mean that the sender is gone: it is `self`.
        let _ = self
            .monotonic
            .subscribe()
            .wait_for(|now| *now >= until)
            .await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn it_stands_still_until_it_is_moved() {
        let clock = ManualClock::new();
        assert_eq!(clock.now(), START);
        clock.advance(Duration::from_secs(5));
        assert_eq!(clock.now(), START + Duration::from_secs(5));
        let monotonic = clock.monotonic();
        clock.jump(-time::Duration::HOUR);
        assert_eq!(
            clock.now(),
            START + Duration::from_secs(5) - time::Duration::HOUR
        );
        assert_eq!(clock.monotonic(), monotonic);
    }

    #[tokio::test]
    async fn a_sleeper_wakes_when_its_time_has_come_and_not_before() {
        let clock = Arc::new(ManualClock::new());
        let until = clock.monotonic() + Duration::from_secs(10);
        let sleeper = tokio::spawn({
            let clock = Arc::clone(&clock);
            async move { clock.sleep_until(until).await }
        });
        while clock.sleepers() == 0 {
            tokio::task::yield_now().await;
        }
        clock.advance(Duration::from_secs(9));
        tokio::task::yield_now().await;
        assert!(!sleeper.is_finished());
        clock.advance(Duration::from_secs(1));
        sleeper.await.unwrap();
    }
}
