//! When this process sent its beats: the measure of how far behind a replica is.

use std::{
    collections::VecDeque,
    sync::Mutex,
    time::{Duration, Instant},
};

use uuid::Uuid;

use super::lock;

/// Longer than the longest `max_lag`. By time, not by number: what hastens beats must not shorten how far back
/// they reach, or a replica that stands still would seem to be no further behind than that.
const KEPT: Duration = Duration::from_secs(65);
/// More than are sent in that time.
const MOST: usize = 16_384;

/// The newest beats of this process. A restart of its registration begins anew.
#[derive(Default)]
pub(super) struct Beats {
    sent: Mutex<Sent>,
}

#[derive(Default)]
struct Sent {
    reader: Option<Uuid>,
    beats: VecDeque<(i64, Instant)>,
}

impl Beats {
    /// A beat of the row `reader` is sent at `now`.
    pub(super) fn sent(&self, reader: Uuid, beat: i64, now: Instant) {
        let mut sent = lock(&self.sent);
        if sent.reader != Some(reader) {
            sent.reader = Some(reader);
            sent.beats.clear();
        }
        let is_old = |at: Instant| now.saturating_duration_since(at) > KEPT;
        // One that is older stays: after a pause it says how far behind a replica is that has not gone on.
        while sent.beats.len() >= MOST || sent.beats.get(1).is_some_and(|(_, at)| is_old(*at)) {
            sent.beats.pop_front();
        }
        sent.beats.push_back((beat, now));
    }

    /// The row to look for on a replica.
    pub(super) fn reader(&self) -> Option<Uuid> {
        lock(&self.sent).reader
    }

    /// When the beat was sent that a replica shows. One that is older than all that are kept was
    /// sent before the oldest of them; of another process's nothing is known.
    pub(super) fn when(&self, reader: Uuid, beat: i64) -> Option<Instant> {
        let sent = lock(&self.sent);
        if sent.reader != Some(reader) {
            return None;
        }
        let newest_first = sent.beats.iter().rev();
        let mut at_or_before = newest_first.skip_while(|(number, _)| *number > beat);
        at_or_before
            .next()
            .or(sent.beats.front())
            .map(|(_, at)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beat_is_found_by_its_number_and_a_forgotten_one_counts_as_the_oldest_kept() {
        let (beats, reader, start) = (Beats::default(), Uuid::from_u128(1), Instant::now());
        // A hundred a second, for a hundred seconds.
        for beat in 0..10_000 {
            let at = start + Duration::from_millis(10) * u32::try_from(beat).unwrap();
            beats.sent(reader, beat, at);
        }
        let age = |beat| beats.when(reader, beat).map(|at| (at - start).as_millis());
        assert_eq!(age(9_999), Some(99_990));
        assert_eq!(age(3_700), Some(37_000));
        assert_eq!(age(3), Some(34_980));
        assert_eq!(beats.when(Uuid::from_u128(2), 999), None);
    }

    /// The primary was away for long; the replica that showed the last beat still does.
    #[test]
    fn after_a_pause_a_replica_that_has_not_gone_on_is_as_old_as_what_it_shows() {
        let (beats, reader, start) = (Beats::default(), Uuid::from_u128(1), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        for (beat, seconds) in [(1, 0), (2, 1), (3, 600), (4, 601)] {
            beats.sent(reader, beat, at(seconds));
        }
        assert_eq!(beats.when(reader, 2), Some(at(1)));
        assert_eq!(beats.when(reader, 1), Some(at(1)));
        assert_eq!(beats.when(reader, 4), Some(at(601)));
    }

    #[test]
    fn a_new_registration_forgets_the_beats_of_the_one_before() {
        let (beats, now) = (Beats::default(), Instant::now());
        beats.sent(Uuid::from_u128(1), 7, now);
        beats.sent(Uuid::from_u128(2), 1, now);
        assert_eq!(beats.when(Uuid::from_u128(1), 7), None);
        assert_eq!(beats.reader(), Some(Uuid::from_u128(2)));
    }
}
