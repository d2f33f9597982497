//! Waiting until every instance obeys.

use std::{sync::Arc, time::Duration};

use sso_core::ports::store::{Reach, Stamp};
use uuid::Uuid;

use super::{Leases, Terms, error::LeaseError, reading::Reading};

/// Between the first look and the second, and between later ones: where a beat was asked for, two
/// of them are over within some milliseconds; where not, it takes a part of a second.
const PAUSE: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(10));

/// One who waits for a commit to be obeyed.
struct Waiter {
    stamp: Stamp,
    /// When the COMMIT was answered, at the latest.
    since: Duration,
    /// Where in the log the commit is, at the latest: known from the first look after it.
    position: Option<i64>,
}

/// What this process knows of the server that it looks at, besides what that says now.
#[derive(Debug, Clone, Copy)]
struct Here {
    /// Its timeline has been known for long enough.
    settled: bool,
    /// None of its standbys has left a moment ago.
    complete: bool,
}

/// What a look means to a waiter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Obeyed,
    NotYet,
    /// Another timeline: it may be lost, and whoever writes it back there starts the time anew.
    Never,
}

impl Leases {
    /// Called when the COMMIT was answered; returns after `wait`, and a look, at the latest.
    pub(super) async fn wait_for(&self, stamp: Stamp, wait: Duration) -> Reach {
        let clock = &self.shared.clock;
        let mut waiter = Waiter {
            stamp,
            since: clock.monotonic(),
            position: None,
        };
        let end = waiter.since + wait;
        let (mut after, mut pause) = (waiter.since, PAUSE.0);
        loop {
            let look = tokio::select! {
                biased;
                look = self.look(after) => look,
                () = clock.sleep_until(end) => return Reach::Pending,
            };
            match self.judge(&mut waiter, look) {
                Verdict::Obeyed => return Reach::Everywhere,
                Verdict::Never => return Reach::Pending,
                Verdict::NotYet => {}
            }
            let now = clock.monotonic();
            if now >= end {
                return Reach::Pending;
            }
            clock.sleep_until((now + pause).min(end)).await;
            pause = (pause * 2).min(PAUSE.1);
            after = clock.monotonic();
        }
    }

    fn judge(&self, waiter: &mut Waiter, look: Result<Arc<Reading>, LeaseError>) -> Verdict {
        let reading = match look {
            Ok(reading) => reading,
            Err(error) => {
                tracing::debug!(%error, "the readers could not be looked at");
                return Verdict::NotYet;
            }
        };
        let shared = &self.shared;
        let settled = shared
            .timelines
            .is_settled(reading.system, reading.timeline, reading.sent);
        let complete = shared.departures.are_over(&reading);
        let here = Here { settled, complete };
        waiter.judge(&reading, shared.me(), here, &shared.terms)
    }
}

impl Waiter {
    /// Obeyed by all is not enough where a failover may lose it: then nobody holds it after that.
    /// Before its timeline is settled a deposed primary may still renew leases, unless its commits
    /// wait for the one that took its place; the first timeline has no deposed primary. It may be
    /// the deposed one itself, if a standby has left it.
    fn judge(&mut self, reading: &Reading, me: Option<Uuid>, here: Here, terms: &Terms) -> Verdict {
        if reading.timeline != self.stamp.timeline {
            return Verdict::Never;
        }
        let waited_for = reading.standbys.are_waited_for();
        let no_deposed = here.settled || reading.timeline == 1 || waited_for;
        let late = no_deposed && reading.sent >= self.since + terms.bound();
        let obeyed = late || (here.settled && reading.is_obeyed(self.stamp, me));
        let position = *self.position.get_or_insert(reading.flushed);
        let kept = here.complete || waited_for;
        if obeyed && kept && reading.standbys.have(position, terms.standbys) {
            Verdict::Obeyed
        } else {
            Verdict::NotYet
        }
    }
}

#[cfg(test)]
mod tests {
    use sso_core::ports::store::Snapshot;

    use super::*;
    use crate::leases::{reading::ReaderRow, standbys::Standbys};

    const S: Duration = Duration::from_secs(1);

    fn terms() -> Terms {
        Terms {
            lease: 10 * S,
            fence: 2 * S,
            standbys: None,
            name: String::new(),
        }
    }

    /// At `sent`, with another reader that never shows the commit.
    fn reading(timeline: u32, sent: Duration, names: &str) -> Reading {
        Reading {
            sent,
            system: 1,
            timeline,
            flushed: 50,
            standbys: Standbys::alone(names),
            rows: vec![ReaderRow {
                id: Uuid::from_u128(2),
                beat: 1,
                timeline,
                system: 1,
                snapshot: Snapshot::default(),
                name: String::new(),
            }],
        }
    }

    fn verdict(stamp: u32, settled: bool, reading: &Reading) -> Verdict {
        let here = Here {
            settled,
            complete: true,
        };
        verdict_where(here, stamp, reading)
    }

    fn verdict_where(here: Here, stamp: u32, reading: &Reading) -> Verdict {
        let mut waiter = Waiter {
            stamp: Stamp {
                timeline: stamp,
                xid: 7,
            },
            since: 100 * S,
            position: None,
        };
        waiter.judge(reading, None, here, &terms())
    }

    #[test]
    fn after_the_bound_nobody_is_waited_for() {
        assert_eq!(verdict(2, true, &reading(2, 111 * S, "")), Verdict::NotYet);
        assert_eq!(verdict(2, true, &reading(2, 112 * S, "")), Verdict::Obeyed);
    }

    #[test]
    fn while_a_deposed_primary_may_renew_leases_the_bound_says_nothing() {
        for rule in ["", "a, b", "ANY 1 (a, b)"] {
            let late = reading(2, 113 * S, rule);
            assert_eq!(verdict(2, false, &late), Verdict::NotYet, "{rule}");
        }
        // It can commit nothing, or there is none.
        assert_eq!(
            verdict(2, false, &reading(2, 112 * S, "a")),
            Verdict::Obeyed
        );
        assert_eq!(verdict(1, false, &reading(1, 112 * S, "")), Verdict::Obeyed);
    }

    #[test]
    fn a_primary_that_a_standby_has_left_may_be_the_deposed_one_itself() {
        let left = Here {
            settled: true,
            complete: false,
        };
        let late = reading(1, 112 * S, "");
        let shown = Reading {
            rows: Vec::new(),
            ..reading(1, 101 * S, "")
        };
        for reading in [&late, &shown] {
            assert_eq!(verdict(1, true, reading), Verdict::Obeyed);
            assert_eq!(verdict_where(left, 1, reading), Verdict::NotYet);
        }
        // Deposed, it could commit nothing.
        let waited_for = reading(1, 112 * S, "a");
        assert_eq!(verdict_where(left, 1, &waited_for), Verdict::Obeyed);
    }

    #[test]
    fn the_bound_of_one_timeline_says_nothing_on_the_next() {
        let late = reading(2, 200 * S, "a");
        assert_eq!(verdict(1, true, &late), Verdict::Never);
    }
}
