use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

/// For how long this instance certifies itself. Times are of the monotonic clock that counts
/// suspension.
#[derive(Debug, Default)]
pub(super) struct Lease {
    /// In milliseconds, rounded down; 0 is never.
    until: AtomicU64,
    /// When the last answer came, in milliseconds; 0 is never.
    answered: AtomicU64,
    /// It trusts nothing any more.
    stopped: AtomicBool,
    /// Why the last beat certified nothing.
    problem: Mutex<Option<String>>,
}

impl Lease {
    /// A beat was answered at `now` that gives a lease to `until`. Leases do not get shorter.
    pub(super) fn extend(&self, until: Duration, now: Duration) {
        self.until.fetch_max(milliseconds(until), Ordering::Release);
        self.answered.store(milliseconds(now), Ordering::Relaxed);
        *self.problem() = None;
    }

    /// A beat was not.
    pub(super) fn failed(&self, problem: String) {
        *self.problem() = Some(problem);
    }

    /// For good.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    pub(super) fn left(&self, now: Duration) -> Duration {
        if self.is_stopped() {
            return Duration::ZERO;
        }
        Duration::from_millis(self.until.load(Ordering::Acquire)).saturating_sub(now)
    }

    pub(super) fn beat_age(&self, now: Duration) -> Option<Duration> {
        match self.answered.load(Ordering::Relaxed) {
            0 => None,
            answered => Some(now.saturating_sub(Duration::from_millis(answered))),
        }
    }

    /// Why there is no lease, or will soon be none.
    pub(super) fn why_not(&self) -> Option<String> {
        if self.is_stopped() {
            return Some("this instance is shutting down".to_owned());
        }
        let problem = self.problem().clone();
        let unanswered = self.answered.load(Ordering::Relaxed) == 0;
        problem.or_else(|| unanswered.then(|| "no beat was answered yet".to_owned()))
    }

    fn problem(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.problem.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
