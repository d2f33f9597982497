//! The machine's clocks.

use std::time::Duration;

use time::OffsetDateTime;

/// The time of day, for `iat` and `exp`.
#[expect(clippy::disallowed_methods, reason = "this is the clock")]
pub(crate) fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}

/// Time that only goes on. On Linux it goes on while the machine is suspended, unlike `Instant`:
/// what was trusted before a suspension must not be trusted after it.
#[cfg(target_os = "linux")]
pub(crate) fn monotonic() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or(0),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    )
}

/// As above; elsewhere the clock of `Instant`, which on most systems counts a suspension too.
#[cfg(not(target_os = "linux"))]
pub(crate) fn monotonic() -> Duration {
    use std::{sync::LazyLock, time::Instant};
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    // Never 0, which stands for never.
    START.elapsed() + Duration::from_secs(1)
}

/// The wall clock, and the monotonic one at the same moment.
#[derive(Debug)]
pub(crate) struct Steady {
    wall: OffsetDateTime,
    monotonic: Duration,
}

impl Steady {
    /// From now on.
    pub(crate) fn new() -> Self {
        Self {
            wall: now(),
            monotonic: monotonic(),
        }
    }

    /// The wall clock as if nobody had set it forward since, and never later than it is: what is
    /// forgotten while it is ahead would be good again once it is back.
    pub(crate) fn at(&self, wall: OffsetDateTime, monotonic: Duration) -> OffsetDateTime {
        wall.min(self.wall + monotonic.saturating_sub(self.monotonic))
    }
}

/// Milliseconds of a time of the monotonic clock, rounded down.
pub(crate) fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_set_forward_is_not_followed_and_one_that_is_set_back_is() {
        let steady = Steady::new();
        let (wall, monotonic) = (steady.wall, steady.monotonic);
        let (second, hour) = (Duration::from_secs(1), Duration::from_hours(1));
        assert_eq!(steady.at(wall + second, monotonic + second), wall + second);
        assert_eq!(steady.at(wall + hour, monotonic + second), wall + second);
        assert_eq!(steady.at(wall - hour, monotonic + second), wall - hour);
    }
}
