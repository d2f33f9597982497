//! The mails that are under way, and those that were tried in vain.

use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;
use uuid::Uuid;

/// From this number on, what nobody has tried for long is looked for and forgotten: its partition went to
/// another instance.
const MANY: usize = 10_000;

/// By event. As many as the consumer lets be under way.
#[derive(Debug)]
pub(crate) struct Tries {
    /// A mail that was not tried for so long begins anew.
    stale: Duration,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    under_way: HashSet<Uuid>,
    failed: HashMap<Uuid, Try>,
    /// When the server last took a mail.
    taken: Option<Instant>,
}

#[derive(Debug)]
struct Try {
    count: u32,
    /// When the server first said "not now" since it was away last.
    refused: Option<Instant>,
    last: Instant,
}

/// How often a mail was tried in vain, and for how long the server has said "not now".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Failed {
    pub(crate) count: u32,
    pub(crate) refused_for: Duration,
    /// The server has taken others since.
    pub(crate) alone: bool,
}

/// The right to send one mail in this process, until it is dropped.
pub(crate) struct Turn<'a>(&'a Tries, Uuid);

impl Tries {
    pub(crate) fn new(stale: Duration) -> Self {
        Self {
            stale,
            known: Mutex::default(),
        }
    }

    /// `None`: it is under way.
    pub(crate) fn begin(&self, event: Uuid) -> Option<Turn<'_>> {
        let begun = self.known().under_way.insert(event);
        begun.then_some(Turn(self, event))
    }

    /// One more has failed, just now.
    pub(crate) fn failed(&self, event: Uuid, not_now: bool, now: Instant) -> Failed {
        let fresh = |found: &Try| now - found.last < self.stale;
        let mut known = self.known();
        let taken = known.taken;
        if known.failed.len() >= MANY {
            known.failed.retain(|_, found| fresh(found));
        }
        let new = Try {
            count: 0,
            refused: None,
            last: now,
        };
        let found = match known.failed.entry(event) {
            Entry::Occupied(found) if fresh(found.get()) => found.into_mut(),
            entry => entry.insert_entry(new).into_mut(),
        };
        found.count = found.count.saturating_add(1);
        found.last = now;
        if !not_now {
            found.refused = None;
        } else if found.refused.is_none() {
            found.refused = Some(now);
        }
        Failed {
            count: found.count,
            refused_for: found.refused.map_or(Duration::ZERO, |since| now - since),
            alone: found.refused.is_some() && found.refused < taken,
        }
    }

    /// The server has taken one.
    pub(crate) fn taken(&self, now: Instant) {
        self.known().taken = Some(now);
    }

    /// It is sent, or never will be.
    pub(crate) fn over(&self, event: Uuid) {
        self.known().failed.remove(&event);
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.known().under_way.remove(&self.1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: Uuid = Uuid::from_u128(1);
    const STALE: Duration = Duration::from_hours(1);
    const MINUTE: Duration = Duration::from_mins(1);

    #[test]
    fn a_mail_is_under_way_once() {
        let tries = Tries::new(STALE);
        let turn = tries.begin(EVENT);
        assert!(turn.is_some() && tries.begin(EVENT).is_none());
        assert!(tries.begin(Uuid::from_u128(2)).is_some());
        drop(turn);
        assert!(tries.begin(EVENT).is_some());
    }

    #[test]
    fn a_mail_is_refused_alone_once_the_server_has_taken_another_since() {
        let tries = Tries::new(STALE);
        let now = Instant::now();
        tries.taken(now);
        assert!(!tries.failed(EVENT, true, now + MINUTE).alone);
        assert!(!tries.failed(EVENT, true, now + 2 * MINUTE).alone);
        tries.taken(now + 3 * MINUTE);
        assert!(tries.failed(EVENT, true, now + 4 * MINUTE).alone);
        assert!(!tries.failed(EVENT, false, now + 5 * MINUTE).alone);
        assert!(!tries.failed(EVENT, true, now + 6 * MINUTE).alone);
    }

    #[test]
    fn only_what_the_server_refuses_now_counts_against_a_mail() {
        let tries = Tries::new(STALE);
        let mut now = Instant::now();
        let mut failed = |not_now, after| {
            now += after;
            let failed = tries.failed(EVENT, not_now, now);
            (failed.count, failed.refused_for)
        };
        assert_eq!(failed(false, MINUTE), (1, Duration::ZERO));
        // Away for long, and then not now.
        assert_eq!(failed(false, 50 * MINUTE), (2, Duration::ZERO));
        assert_eq!(failed(true, MINUTE), (3, Duration::ZERO));
        assert_eq!(failed(true, MINUTE), (4, MINUTE));
        assert_eq!(failed(false, MINUTE), (5, Duration::ZERO));
        assert_eq!(failed(true, MINUTE), (6, Duration::ZERO));
        // Another instance had it meanwhile.
        assert_eq!(failed(true, STALE), (1, Duration::ZERO));
        tries.over(EVENT);
        assert_eq!(failed(true, MINUTE), (1, Duration::ZERO));
    }
}
