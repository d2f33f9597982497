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
    /// When the server first broke off in the middle of it since it was away last.
    broken: Option<Instant>,
    /// Since when it counts against the mail that the server does not take it.
    refused: Option<Instant>,
    last: Instant,
}

/// Whose a failure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Blame {
    /// The server's: says nothing of the mail, and what it said before is forgotten.
    Server,
    /// The server's or the mail's: it broke off in the middle of it. Counts against the mail from when it
    /// does so again though it has taken others meanwhile, and up to when it last took one: no outage,
    /// however long, counts.
    Either,
    /// The mail's.
    Mail,
}

/// How often a mail was tried in vain, and for how long that has counted against it.
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
    pub(crate) fn failed(&self, event: Uuid, blame: Blame, now: Instant) -> Failed {
        let fresh = |found: &Try| now - found.last < self.stale;
        let mut known = self.known();
        let taken = known.taken;
        if known.failed.len() >= MANY {
            known.failed.retain(|_, found| fresh(found));
        }
        let new = Try {
            count: 0,
            broken: None,
            refused: None,
            last: now,
        };
        let found = match known.failed.entry(event) {
            Entry::Occupied(found) if fresh(found.get()) => found.into_mut(),
            entry => entry.insert_entry(new).into_mut(),
        };
        found.count = found.count.saturating_add(1);
        found.last = now;
        match blame {
            Blame::Server => (found.broken, found.refused) = (None, None),
            Blame::Either => {
                let broken = *found.broken.get_or_insert(now);
                if taken.is_some_and(|taken| taken > broken) {
                    found.refused.get_or_insert(now);
                }
            }
            Blame::Mail => {
                found.refused.get_or_insert(now);
            }
        }
        let until = match blame {
            Blame::Either => taken,
            Blame::Server | Blame::Mail => Some(now),
        };
        let refused_for = until
            .zip(found.refused)
            .map_or(Duration::ZERO, |(until, since)| {
                until.saturating_duration_since(since)
            });
        Failed {
            count: found.count,
            refused_for,
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
        let alone = |blame, minute: u32| tries.failed(EVENT, blame, now + minute * MINUTE).alone;
        assert!(!alone(Blame::Mail, 1) && !alone(Blame::Mail, 2));
        tries.taken(now + 3 * MINUTE);
        assert!(alone(Blame::Mail, 4) && alone(Blame::Either, 5));
        assert!(!alone(Blame::Server, 6) && !alone(Blame::Mail, 7));
    }

    #[test]
    fn a_server_that_breaks_off_counts_against_a_mail_only_once_it_has_taken_others() {
        let tries = Tries::new(STALE);
        let now = Instant::now();
        let failed = |blame, minute: u32| {
            let failed = tries.failed(EVENT, blame, now + minute * MINUTE);
            (failed.refused_for, failed.alone)
        };
        let none = (Duration::ZERO, false);
        tries.taken(now);
        // However long: it may be the server, and it has taken nothing since.
        for minute in [1, 40, 80] {
            assert_eq!(failed(Blame::Either, minute), none);
        }
        // It is back: what was in the middle then has another try.
        tries.taken(now + 81 * MINUTE);
        assert_eq!(failed(Blame::Either, 82), none);
        assert_eq!(failed(Blame::Either, 83), none);
        tries.taken(now + 84 * MINUTE);
        assert_eq!(failed(Blame::Either, 85), (2 * MINUTE, true));
        // Again it takes nothing.
        assert_eq!(failed(Blame::Either, 140), (2 * MINUTE, true));
        // "Not now" goes on where that was.
        assert_eq!(failed(Blame::Mail, 141), (59 * MINUTE, true));
        tries.taken(now + 142 * MINUTE);
        assert_eq!(failed(Blame::Either, 143), (60 * MINUTE, true));
        assert_eq!(failed(Blame::Server, 144), none);
        assert_eq!(failed(Blame::Either, 145), none);
    }

    #[test]
    fn an_outage_in_the_middle_of_mails_does_not_count_as_not_now() {
        let tries = Tries::new(STALE);
        let now = Instant::now();
        tries.failed(EVENT, Blame::Either, now);
        tries.failed(EVENT, Blame::Either, now + 50 * MINUTE);
        let busy = tries.failed(EVENT, Blame::Mail, now + 51 * MINUTE);
        assert_eq!((busy.count, busy.refused_for), (3, Duration::ZERO));
    }

    #[test]
    fn only_what_the_server_refuses_now_counts_against_a_mail() {
        let tries = Tries::new(STALE);
        let mut now = Instant::now();
        let mut failed = |blame, after| {
            now += after;
            let failed = tries.failed(EVENT, blame, now);
            (failed.count, failed.refused_for)
        };
        assert_eq!(failed(Blame::Server, MINUTE), (1, Duration::ZERO));
        // Away for long, and then not now.
        assert_eq!(failed(Blame::Server, 50 * MINUTE), (2, Duration::ZERO));
        assert_eq!(failed(Blame::Mail, MINUTE), (3, Duration::ZERO));
        assert_eq!(failed(Blame::Mail, MINUTE), (4, MINUTE));
        // It breaks off between two refusals.
        assert_eq!(failed(Blame::Either, MINUTE), (5, Duration::ZERO));
        assert_eq!(failed(Blame::Mail, MINUTE), (6, 3 * MINUTE));
        assert_eq!(failed(Blame::Server, MINUTE), (7, Duration::ZERO));
        assert_eq!(failed(Blame::Mail, MINUTE), (8, Duration::ZERO));
        // Another instance had it meanwhile.
        assert_eq!(failed(Blame::Mail, STALE), (1, Duration::ZERO));
        tries.over(EVENT);
        assert_eq!(failed(Blame::Mail, MINUTE), (1, Duration::ZERO));
    }
}
