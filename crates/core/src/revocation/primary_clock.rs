//! The store's clock, which all instances share: one that is wrong itself calls nobody a thief.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use time::OffsetDateTime;

/// A moment that took longer to learn tells less; but an old one tells less every day.
const KEPT: Duration = Duration::from_mins(10);

/// What the store's clock said, and when by the monotonic clock.
#[derive(Debug, Default)]
pub(super) struct PrimaryClock {
    seen: Mutex<Option<Seen>>,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    at: OffsetDateTime,
    /// Of the server that said so: after a failover it is another one's clock.
    timeline: u32,
    /// The middle of question and answer.
    when: Duration,
    /// From the question to the answer.
    took: Duration,
}

impl PrimaryClock {
    /// It said `at` some time between `sent` and `heard`, on this timeline.
    pub(super) fn said(&self, at: OffsetDateTime, timeline: u32, sent: Duration, heard: Duration) {
        let took = heard.saturating_sub(sent);
        let when = sent + took / 2;
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let tells_more =
            |seen: Seen| timeline != seen.timeline || took <= seen.took || when > seen.when + KEPT;
        if seen.is_none_or(tells_more) {
            *seen = Some(Seen {
                at,
                timeline,
                when,
                took,
            });
        }
    }

    /// What it says at `monotonic`; `None`: it has said nothing yet.
    pub(super) fn now(&self, monotonic: Duration) -> Option<OffsetDateTime> {
        let seen = *self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.map(|seen| seen.at + monotonic.saturating_sub(seen.when))
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-01-01 00:00 UTC);
    const S: Duration = Duration::from_secs(1);

    #[test]
    fn it_goes_on_from_what_was_heard_most_exactly() {
        let clock = PrimaryClock::default();
        assert_eq!(clock.now(S), None);
        clock.said(NOW, 1, S, 3 * S);
        assert_eq!(clock.now(7 * S), Some(NOW + 5 * S));
        // This took longer.
        clock.said(NOW, 1, 10 * S, 14 * S);
        assert_eq!(clock.now(12 * S), Some(NOW + 10 * S));
        clock.said(NOW, 1, 20 * S, 20 * S);
        assert_eq!(clock.now(21 * S), Some(NOW + S));
        // That was long ago.
        clock.said(NOW, 1, 700 * S, 704 * S);
        assert_eq!(clock.now(702 * S), Some(NOW));
        // That is another server's.
        clock.said(NOW, 2, 710 * S, 716 * S);
        assert_eq!(clock.now(713 * S), Some(NOW));
    }
}
