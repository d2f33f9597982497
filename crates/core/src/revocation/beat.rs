//! Beats: when they are due, and what is done with their answers.

use std::{mem, sync::atomic::Ordering, time::Duration};

use metrics::counter;

use super::{Revocations, hints::Verdict, reading::Answered};
use crate::{
    metrics::HINTS_REFUTED,
    ports::{
        StoreError,
        store::{Answer, Question},
    },
};

impl Revocations {
    /// How long until the next beat is due, if there is one `every` so often. All instances have the same
    /// moments, by the store's clock: their commits share a flush, and who waits for all of them waits
    /// for one moment, not for the last of many.
    pub fn until_beat(&self, every: Duration) -> Duration {
        let nanos = self.primary_now().unix_timestamp_nanos();
        let gone = nanos.rem_euclid(i128::try_from(every.as_nanos()).unwrap_or(i128::MAX).max(1));
        let left = every.saturating_sub(Duration::from_nanos(u64::try_from(gone).unwrap_or(0)));
        // That near it is the moment of the last one, which the clock tells a little differently now.
        if left < every / 4 { left + every } else { left }
    }

    /// Asks for what others committed and extends the lease. Called by one loop, never twice at
    /// once; dropping it before it is ready leaves everything as it was.
    pub async fn beat(&self) -> Result<(), StoreError> {
        if self.lease.is_stopped() {
            return Ok(());
        }
        let sent = self.clock.monotonic();
        let now = self.clock.now();
        self.steady.latest(now);
        let held = || self.held();
        let anew = self.hints.has_older(self.timeline());
        let question = Question {
            now: self.steady.now(now, sent),
            held: &held,
            anew,
            expects: !self.hints.is_empty(),
        };
        match self.primary.beat(question).await {
            Ok(answer) => {
                if anew {
                    self.hints.offered(answer.timeline, sent);
                }
                if let Some(at) = answer.at {
                    let heard = self.clock.monotonic();
                    self.primary_clock.said(at, answer.timeline, sent, heard);
                }
                self.obey_answer(answer, sent);
                Ok(())
            }
            Err(error) => {
                self.owes.store(false, Ordering::Relaxed);
                self.lease.failed(error.to_string());
                Err(error)
            }
        }
    }

    /// First everything is obeyed, then it counts.
    fn obey_answer(&self, mut answer: Answer, sent: Duration) {
        let entries = mem::take(&mut answer.entries);
        let brought = entries.len();
        for entry in entries {
            self.apply(&entry);
        }
        let now = self.steady_now();
        let verdict = Verdict {
            answer: &answer,
            sent,
            now,
            patience: self.terms.bound(),
        };
        let refuted = self.hints.judge(&verdict, |id| self.set.holds(id));
        if refuted > 0 {
            counter!(HINTS_REFUTED).increment(refuted as u64);
        }
        self.set.forget_before(now);
        self.lease
            .extend(sent + self.terms.lease, self.clock.monotonic());
        self.answers.came(Answered {
            sent,
            timeline: answer.timeline,
        });
        self.owes.store(brought > 0, Ordering::Relaxed);
        if brought > 0 {
            // Whoever committed them waits for the question that says so.
            self.hasten();
        }
        let took = self.clock.monotonic().saturating_sub(sent);
        tracing::trace!(entries = brought, ?took, "a beat was answered");
    }

    /// Whether somebody waits for the next beat: it will say that this instance obeys what the last
    /// one brought.
    pub fn owes_beat(&self) -> bool {
        self.owes.load(Ordering::Relaxed)
    }
}
