//! Until when the set is believed.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use crate::clock::{milliseconds, monotonic};

/// Clocks of two machines drift apart by less than this part of the time that passes.
const DRIFT: u32 = 5_000;

/// Milliseconds on the monotonic clock until which the set is believed; 0 is never.
#[derive(Debug, Default)]
pub(crate) struct Trust(AtomicU64);

impl Trust {
    /// Believes until then, if it did not until later.
    pub(crate) fn extend(&self, until: Duration) {
        self.0.fetch_max(milliseconds(until), Ordering::Release);
    }

    /// Believes nothing any more.
    pub(crate) fn lose(&self) {
        self.0.store(0, Ordering::Release);
    }

    /// To be asked after the set: the other way round a process that was frozen in between would
    /// accept what it had missed.
    pub(crate) fn holds(&self) -> bool {
        self.left() > Duration::ZERO
    }

    /// For how long.
    pub(crate) fn left(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Acquire)).saturating_sub(monotonic())
    }
}

/// Until when a beat is good. It was said `sent_after` after the call came to the service, and the
/// call was made at `called`: so no earlier than that, however long the beat was on its way or lay
/// unread in a buffer.
pub(crate) fn until(
    called: Duration,
    sent_after: Duration,
    trusted_for: Duration,
    bound: Duration,
) -> Duration {
    let sent = called + sent_after.saturating_sub(sent_after / DRIFT);
    sent + trusted_for.min(bound)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_beat_is_good_for_a_second_from_when_it_was_sent_however_late_it_is_read() {
        let called = 100 * SECOND;
        let good = until(called, 5 * SECOND, 9 * SECOND, SECOND);
        assert_eq!(good + SECOND / 1_000, 106 * SECOND);
    }

    #[test]
    fn a_beat_is_never_better_than_the_lease_that_it_tells() {
        let lease = Duration::from_millis(300);
        let good = until(SECOND, Duration::ZERO, lease, SECOND);
        assert_eq!(good, SECOND + lease);
        assert_eq!(
            until(SECOND, Duration::ZERO, Duration::ZERO, SECOND),
            SECOND
        );
    }

    #[test]
    fn trust_that_was_lost_is_regained_by_what_is_new_only() {
        let trust = Trust::default();
        assert!(!trust.holds());
        trust.extend(monotonic() + 60 * SECOND);
        trust.extend(monotonic());
        assert!(trust.holds());
        trust.lose();
        assert!(!trust.holds());
    }
}
