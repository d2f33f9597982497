//! Standbys that were there and are not any more.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use super::reading::Reading;

/// Who was there at the last look, and when somebody was missing last.
///
/// A primary whose standby is gone may be a deposed one whose standby was promoted: nothing else
/// tells it, if the standby held no slot. Such a primary outlives the promotion by `fence` at most,
/// so what it answers after that is of a primary that was not deposed.
#[derive(Debug)]
pub(super) struct Departures {
    /// How long nothing is answered after one.
    quiet: Duration,
    seen: Mutex<Option<Seen>>,
}

#[derive(Debug)]
struct Seen {
    system: i64,
    timeline: u32,
    members: BTreeSet<String>,
    /// On the monotonic clock: when a look was answered that missed somebody.
    missed: Option<Duration>,
}

impl Departures {
    pub(super) fn new(quiet: Duration) -> Self {
        Self {
            quiet,
            seen: Mutex::default(),
        }
    }

    /// A look was answered at `now`. Each timeline has standbys of its own: what was answered on it
    /// before its first look is held back by its being new.
    pub(super) fn seen(&self, reading: &Reading, expected: Option<u32>, now: Duration) {
        let members = reading.standbys.members(expected);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let here = (reading.system, reading.timeline);
        match &mut *seen {
            Some(seen) if (seen.system, seen.timeline) == here => {
                if !seen.members.is_subset(&members) {
                    seen.missed = Some(now);
                }
                seen.members = members;
            }
            _ => {
                *seen = Some(Seen {
                    system: reading.system,
                    timeline: reading.timeline,
                    members,
                    missed: None,
                });
            }
        }
    }

    /// Whether nobody has left so shortly before `reading` that its server may be deposed.
    pub(super) fn are_over(&self, reading: &Reading) -> bool {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.as_ref().is_some_and(|seen| {
            (seen.system, seen.timeline) == (reading.system, reading.timeline)
                && seen
                    .missed
                    .is_none_or(|missed| reading.sent >= missed + self.quiet)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{super::standbys::Standbys, *};

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn reading(timeline: u32, sent: Duration, following: &[&str]) -> Reading {
        Reading {
            sent,
            system: 1,
            timeline,
            flushed: 0,
            standbys: Standbys::followed_by(following),
            rows: Vec::new(),
        }
    }

    #[test]
    fn after_one_has_left_nothing_is_answered_for_a_while_and_who_comes_delays_nobody() {
        let departures = Departures::new(s(14));
        let look = |at, following: &[&str]| {
            let reading = reading(1, s(at), following);
            departures.seen(&reading, None, s(at));
            departures.are_over(&reading)
        };
        assert!(look(1, &["a"]));
        assert!(look(2, &["a", "b"]));
        assert!(!look(3, &["b"]));
        // As many as before, but not the same.
        assert!(!look(16, &["b", "c"]));
        assert!(look(17, &["b", "c"]));
        assert!(!look(18, &["b", "d"]));
        assert!(!look(31, &[]));
        assert!(!look(44, &[]));
        assert!(look(45, &[]));
    }

    #[test]
    fn what_was_asked_before_one_left_counts_no_more() {
        let departures = Departures::new(s(14));
        let before = reading(1, s(1), &["a"]);
        departures.seen(&before, None, s(1));
        departures.seen(&reading(1, s(2), &[]), None, s(2));
        assert!(!departures.are_over(&before));
        // Nor what is said on another timeline than that of the last look.
        assert!(!departures.are_over(&reading(2, s(99), &[])));
        departures.seen(&reading(2, s(99), &[]), None, s(99));
        assert!(departures.are_over(&reading(2, s(99), &[])));
    }
}
