//! What is refused by what the primary says, and whether that was still the primary.
//!
//! Behind a synchronous standby nothing that a deposed primary commits is acknowledged, and nothing is
//! validated without a lease, which is a commit. A refusal needs neither: "there is no such session" is
//! read and told. Until this instance hears of the promotion it could so refuse what the new primary
//! knows. A beat is a commit, so one that was sent after the read and is answered on the timeline of
//! before it shows that the one that was read was the primary.

use std::{
    pin::pin,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use event_listener::Event;
use futures_util::future::{Either, select};

use super::Revocations;
use crate::ports::StoreError;

/// How long a refusal waits for a beat, and no longer than half a lease: a request has waited for its
/// connection already.
const PATIENCE: Duration = Duration::from_secs(2);

/// The last answer to a beat.
#[derive(Debug, Clone, Copy)]
pub(super) struct Answered {
    /// When the beat was sent, on the monotonic clock.
    pub(super) sent: Duration,
    /// On which timeline it was answered.
    pub(super) timeline: u32,
}

/// The last answer, and who waits for the next.
#[derive(Debug, Default)]
pub(super) struct Answers {
    last: Mutex<Option<Answered>>,
    next: Event,
}

impl Answers {
    pub(super) fn last(&self) -> Option<Answered> {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn came(&self, answered: Answered) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(answered);
        self.next.notify(usize::MAX);
    }

    /// The first answer to a beat that was sent after `read`.
    async fn to_beat_after(&self, read: Duration) -> Answered {
        loop {
            let next = self.next.listen();
            if let Some(last) = self.last().filter(|last| last.sent > read) {
                return last;
            }
            next.await;
        }
    }
}

/// A read of the primary, from before it.
pub(crate) struct Reading<'a> {
    revocations: &'a Revocations,
    /// Of the last beat before; `None`: none was answered yet.
    timeline: Option<u32>,
}

/// The primary does not commit.
#[derive(Debug, thiserror::Error)]
#[error("no beat was answered within {0:?} of a read: whether it was of the primary is not known")]
struct Unconfirmed(Duration);

impl Revocations {
    /// To be called before the primary is read.
    pub(crate) fn reading(&self) -> Reading<'_> {
        Reading {
            revocations: self,
            timeline: self.answers.last().map(|last| last.timeline),
        }
    }
}

impl Reading<'_> {
    /// To be called when something was read that somebody is to be refused by: whether the server was
    /// the primary then. If not, it is to be read once more. Waits for the next beat, and asks for it
    /// before its time; fails where none is answered in time.
    pub(crate) async fn stands(&self) -> Result<bool, StoreError> {
        let of = self.revocations;
        let needs_none = match self.timeline {
            // A store that has no timelines is one that is never deposed.
            Some(timeline) => timeline == 0,
            // A command never sends a beat.
            None => !of.beats(),
        };
        if needs_none {
            return Ok(true);
        }
        let read = of.clock.monotonic();
        let patience = PATIENCE.min(of.terms.lease / 2);
        of.hasten();
        let answer = pin!(of.answers.to_beat_after(read));
        let late = pin!(of.clock.sleep_until(read + patience));
        match select(answer, late).await {
            // Before the first one there is nothing to compare with: it is read once more.
            Either::Left((answered, _)) => {
                Ok(answered.timeline == 0 || self.timeline == Some(answered.timeline))
            }
            Either::Right(_) => Err(StoreError::unavailable(Unconfirmed(patience))),
        }
    }
}
