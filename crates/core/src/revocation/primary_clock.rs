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
    /// The middle of question and answer.
    when: Duration,
    /// From the question to the answer.
    took: Duration,
}

impl PrimaryClock {
    /// It said `at` some time between `sent` and `heard`.
    pub(super) fn said(&self, at: OffsetDateTime, sent: Duration, heard: Duration) {
        let took = heard.saturating_sub(sent);
        let when = sent + took / 2;
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.is_none_or(|seen| took <= seen.took || when > seen.when + KEPT) {
            *seen = Some(Seen { at, when, took });
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
        clock.said(NOW, S, 3 * S);
        assert_eq!(clock.now(7 * S), Some(NOW + 5 * S));
        // This took longer.
        clock.said(NOW, 10 * S, 14 * S);
        assert_eq!(clock.now(12 * S), Some(NOW + 10 * S));
        clock.said(NOW, 20 * S, 20 * S);
        assert_eq!(clock.now(21 * S), Some(NOW + S));
        // That was long ago.
        clock.said(NOW, 700 * S, 704 * S);
        assert_eq!(clock.now(702 * S), Some(NOW));
    }
}
