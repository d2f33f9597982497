use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// Since when this process knows the timeline that it is on.
#[derive(Debug)]
pub(super) struct Timelines {
    /// How long nothing is answered early on a timeline that was just met: a registration may have
    /// been lost with the old one, whose lease still runs, or is still renewed there.
    quiet: Duration,
    known: Mutex<Option<Known>>,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    system: i64,
    timeline: u32,
    /// On the monotonic clock.
    since: Duration,
}

impl Timelines {
    pub(super) fn new(quiet: Duration) -> Self {
        Self {
            quiet,
            known: Mutex::default(),
        }
    }

    /// It was met at `now`, for the first time or again. Meeting an older one changes nothing.
    pub(super) fn met(&self, system: i64, timeline: u32, now: Duration) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let is_old =
            known.is_some_and(|known| known.system == system && known.timeline >= timeline);
        if !is_old {
            *known = Some(Known {
                system,
                timeline,
                since: now,
            });
        }
    }

    /// Whether at `now` no lease of the timeline before can run any more: what readers say on this
    /// one counts.
    pub(super) fn is_settled(&self, system: i64, timeline: u32, now: Duration) -> bool {
        let known = *self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.is_some_and(|known| {
            (known.system, known.timeline) == (system, timeline) && now >= known.since + self.quiet
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_timeline_is_quiet_at_first_and_meeting_it_again_does_not_prolong_that() {
        let timelines = Timelines::new(s(14));
        assert!(!timelines.is_settled(1, 1, s(100)));
        timelines.met(1, 1, s(1));
        timelines.met(1, 1, s(9));
        assert!(!timelines.is_settled(1, 1, s(14)));
        assert!(timelines.is_settled(1, 1, s(15)));
        timelines.met(1, 2, s(20));
        assert!(!timelines.is_settled(1, 1, s(99)));
        assert!(!timelines.is_settled(1, 2, s(33)));
        // A deposed primary that still answers does not make its timeline the one we are on.
        timelines.met(1, 1, s(34));
        assert!(timelines.is_settled(1, 2, s(34)));
        assert!(!timelines.is_settled(1, 1, s(99)));
        // The same number of another system is another timeline.
        timelines.met(2, 2, s(40));
        assert!(!timelines.is_settled(2, 2, s(53)) && timelines.is_settled(2, 2, s(54)));
    }
}
