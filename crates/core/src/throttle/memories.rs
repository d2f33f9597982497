//! What is remembered of failures, and what it means for the next attempt.

use std::time::Duration;

use super::{ThrottleSettings, table::Memory};

/// Failures of an account from a network are forgotten this long after the last one. Who waits for
/// that gets fewer attempts than who goes on at the longest delay.
pub(super) const FORGET_PAIR: Duration = Duration::from_hours(1);
/// The row of failures of an account is forgotten this long after the last one; the same holds.
pub(super) const FORGET_ACCOUNT: Duration = Duration::from_hours(24);
/// Over the cap: a network that failed on the account before waits this long, so that it leaves
/// turns to others.
pub(super) const REPEATER: Duration = Duration::from_mins(10);
/// The window in which the accounts are counted on which a network fails, in minutes.
const WINDOW: usize = 10;
/// The pause between the attempts of a network that fails on too many accounts.
pub(super) const NETWORK_PAUSE: Duration = Duration::from_secs(1);

/// Failures of an account from one network.
#[derive(Debug, Default)]
pub(super) struct Pair {
    pub(super) failures: u32,
    pub(super) under_way: u32,
    /// The last failure.
    pub(super) last: Duration,
    /// See [`Count::mark`](super::Count::mark).
    pub(super) mark: u64,
    /// When it was last counted for the network.
    counted: Option<Duration>,
}

/// What the failures of a pair say to its next attempt.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Go on.
    Now,
    /// Only if one that is under way succeeds.
    Perhaps,
    /// Not before this has passed.
    In(Duration),
}

impl Pair {
    pub(super) fn turn(&self, now: Duration, settings: &ThrottleSettings) -> Turn {
        if self.failures < settings.free_attempts {
            return if self.failures + self.under_way < settings.free_attempts {
                Turn::Now
            } else {
                Turn::Perhaps
            };
        }
        let delay = self.delay(settings);
        if self.under_way > 0 {
            return Turn::In(delay);
        }
        let left = (self.last + delay).saturating_sub(now);
        if left.is_zero() {
            Turn::Now
        } else {
            Turn::In(left)
        }
    }

    /// 1, 2, 4 .. seconds after the free attempts.
    fn delay(&self, settings: &ThrottleSettings) -> Duration {
        let doublings = self.failures.saturating_sub(settings.free_attempts);
        let seconds = 1_u64.checked_shl(doublings).unwrap_or(u64::MAX);
        Duration::from_secs(seconds).min(settings.longest_delay)
    }

    /// Counts a failure. Whether this is an account more for the network.
    pub(super) fn fail(&mut self, now: Duration) -> bool {
        self.failures = self.failures.saturating_add(1);
        self.last = now;
        let window = Duration::from_mins(WINDOW as u64);
        let counts = self.counted.is_none_or(|at| at + window <= now);
        if counts {
            self.counted = Some(now);
        }
        counts
    }
}

impl Memory for Pair {
    fn is_over(&self, now: Duration) -> bool {
        self.under_way == 0 && (self.failures == 0 || self.last + FORGET_PAIR <= now)
    }

    fn weight(&self) -> u64 {
        u64::from(self.failures) + (u64::from(self.under_way) << 32)
    }
}

/// Failures of an account in a row, from everywhere.
#[derive(Debug, Default)]
pub(super) struct Account {
    pub(super) failures: u32,
    pub(super) under_way: u32,
    pub(super) last: Duration,
    /// See [`Count::mark`](super::Count::mark).
    pub(super) mark: u64,
    /// Over the cap: when the next attempt of a network that is not known may be made.
    pub(super) next: Duration,
}

impl Memory for Account {
    fn is_over(&self, now: Duration) -> bool {
        self.under_way == 0 && (self.failures == 0 || self.last + FORGET_ACCOUNT <= now)
    }

    fn weight(&self) -> u64 {
        u64::from(self.failures) + (u64::from(self.under_way) << 32)
    }
}

/// Accounts on which a network failed.
#[derive(Debug, Default)]
pub(super) struct Neighbourhood {
    /// By the minute, in a ring.
    minutes: [u16; WINDOW],
    /// The last minute that was counted in.
    minute: u64,
    /// Over the limit: when the next attempt may be made.
    pub(super) next: Duration,
}

impl Neighbourhood {
    /// Accounts of the last ten minutes.
    pub(super) fn accounts(&self, now: Duration) -> u32 {
        let passed = minute_of(now).saturating_sub(self.minute);
        let still = |at: &usize| age(*at, self.minute) + passed < WINDOW as u64;
        let minutes = (0..WINDOW).filter(still).map(|at| self.minutes[at]);
        minutes.map(u32::from).sum()
    }

    /// Counts an account.
    pub(super) fn count(&mut self, now: Duration) {
        let minute = minute_of(now);
        let passed = minute.saturating_sub(self.minute);
        for at in 0..WINDOW {
            if age(at, self.minute) + passed >= WINDOW as u64 {
                self.minutes[at] = 0;
            }
        }
        self.minute = minute;
        let current = &mut self.minutes[slot(minute)];
        *current = current.saturating_add(1);
    }
}

impl Memory for Neighbourhood {
    fn is_over(&self, now: Duration) -> bool {
        minute_of(now).saturating_sub(self.minute) >= WINDOW as u64
            || self.minutes.iter().all(|count| *count == 0)
    }

    fn weight(&self) -> u64 {
        self.minutes.iter().map(|count| u64::from(*count)).sum()
    }
}

fn minute_of(now: Duration) -> u64 {
    now.as_secs() / 60
}

fn slot(minute: u64) -> usize {
    usize::try_from(minute % WINDOW as u64).unwrap_or(0)
}

/// How many minutes before `minute` the slot was counted in.
fn age(at: usize, minute: u64) -> u64 {
    ((slot(minute) + WINDOW - at) % WINDOW) as u64
}

/// A token bucket (GCRA): `full` is when it will be full again.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Bucket {
    full: Duration,
}

impl Bucket {
    /// How long until it holds a token, if it refills one each `interval` up to `burst`.
    pub(super) fn wait(&self, now: Duration, interval: Duration, burst: u32) -> Duration {
        let depth = interval.saturating_mul(burst.saturating_sub(1));
        self.full.saturating_sub(now).saturating_sub(depth)
    }

    /// Takes a token.
    pub(super) fn take(&mut self, now: Duration, interval: Duration) {
        self.full = self.full.max(now) + interval;
    }
}

/// What a network has registered, and what it learnt by that.
#[derive(Debug, Default)]
pub(super) struct Registrations {
    pub(super) tried: Bucket,
    pub(super) told: Bucket,
}

impl Memory for Registrations {
    fn is_over(&self, now: Duration) -> bool {
        self.tried.full <= now && self.told.full <= now
    }

    fn weight(&self) -> u64 {
        let full = self.tried.full.max(self.told.full);
        u64::try_from(full.as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_counted_over_ten_minutes_to_the_minute() {
        let minute = |n: u64| Duration::from_secs(n * 60 + 7);
        let mut network = Neighbourhood::default();
        for n in 100..105 {
            network.count(minute(n));
            network.count(minute(n));
        }
        assert_eq!(network.accounts(minute(104)), 10);
        assert_eq!(network.accounts(minute(109)), 10);
        assert_eq!(network.accounts(minute(110)), 8);
        network.count(minute(112));
        assert_eq!(network.accounts(minute(112)), 5);
        assert_eq!(network.accounts(minute(121)), 1);
        assert!(!network.is_over(minute(121)));
        assert_eq!(network.accounts(minute(122)), 0);
        assert!(network.is_over(minute(122)));
        network.count(minute(500));
        assert_eq!(network.accounts(minute(500)), 1);
    }

    #[test]
    fn a_bucket_gives_its_burst_at_once_and_then_one_each_interval() {
        let (interval, now) = (Duration::from_secs(6), Duration::from_secs(1000));
        let mut bucket = Bucket::default();
        for _ in 0..3 {
            assert_eq!(bucket.wait(now, interval, 3), Duration::ZERO);
            bucket.take(now, interval);
        }
        assert_eq!(bucket.wait(now, interval, 3), interval);
        assert_eq!(bucket.wait(now + interval, interval, 3), Duration::ZERO);
    }
}
