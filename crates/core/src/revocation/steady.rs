//! The wall clock jumps: what is over must not become good by it (`docs/decisions/0022`).

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use time::OffsetDateTime;

/// How far back a clock may be set so that what was signed before can still be revoked: as long as
/// an access token can be made to live. Who sets it back further rotates and retires the keys.
pub const MAX_AHEAD: Duration = Duration::from_hours(24);

/// What a process has seen of the wall clock.
#[derive(Debug, Default)]
pub(super) struct Steady {
    /// The wall clock and the monotonic clock at one moment.
    anchor: OnceLock<(OffsetDateTime, Duration)>,
    /// The latest time on the wall clock, in microseconds since 1970.
    latest: AtomicI64,
}

impl Steady {
    /// The latest time that was seen, `now` included, at most [`MAX_AHEAD`] after it.
    pub(super) fn latest(&self, now: OffsetDateTime) -> OffsetDateTime {
        let micros = i64::try_from(now.unix_timestamp_nanos() / 1_000).unwrap_or(i64::MAX);
        let before = self.latest.fetch_max(micros, Ordering::Relaxed);
        let ahead = u64::try_from(before.saturating_sub(micros)).unwrap_or(0);
        now + Duration::from_micros(ahead).min(MAX_AHEAD)
    }

    /// The wall clock had nobody set it forward since this was asked first; never later than `wall`.
    pub(super) fn now(&self, wall: OffsetDateTime, monotonic: Duration) -> OffsetDateTime {
        let (then, start) = *self.anchor.get_or_init(|| (wall, monotonic));
        wall.min(then + monotonic.saturating_sub(start))
    }
}

#[cfg(test)]
mod tests {
    use time::{ext::NumericalDuration, macros::datetime};

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-01-01 00:00 UTC);
    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_clock_that_is_set_forward_is_not_followed_and_one_that_is_set_back_is() {
        let steady = Steady::default();
        assert_eq!(steady.now(NOW, SECOND), NOW);
        assert_eq!(steady.now(NOW + 1.hours(), 2 * SECOND), NOW + 1.seconds());
        assert_eq!(steady.now(NOW + 2.seconds(), 3 * SECOND), NOW + 2.seconds());
        assert_eq!(steady.now(NOW - 1.hours(), 4 * SECOND), NOW - 1.hours());
    }

    #[test]
    fn the_latest_time_outlives_a_clock_that_is_set_back_by_no_more_than_a_day() {
        let steady = Steady::default();
        assert_eq!(steady.latest(NOW), NOW);
        assert_eq!(steady.latest(NOW - 1.hours()), NOW);
        assert_eq!(steady.latest(NOW + 1.seconds()), NOW + 1.seconds());
        assert_eq!(steady.latest(NOW - 9.days()), NOW - 8.days());
    }
}
