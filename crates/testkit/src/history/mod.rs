//! What every client was told, and whether it can all be true.
//!
//! Clients record each call in a [`History`]: who asked which instance what, when they asked and
//! when they had the answer, on one monotonic clock. [`History::judge`] reads it under [`Terms`]
//! and finds [contradictions](Verdict::contradictions), counts what was [lost](Verdict::lost) where
//! losing is allowed, and says how long which kind of call did not succeed.
//!
//! The judge does not guess an order: a call took effect at some moment between its start and its
//! end, one of unknown outcome at some moment after its start or never. It complains only where no
//! order explains the answers, so that every complaint is a fault. What it holds:
//!
//! | rule | complaint |
//! |---|---|
//! | who has the current password of an account that nobody disabled gets in | [`Complaint::Refused`] |
//! | who has another one does not | [`Complaint::OldPassword`] |
//! | an address is free until somebody may have registered it | [`Complaint::Exists`] |
//! | what was ended is obeyed at once where it was ended | [`Complaint::AfterOwn`] |
//! | ... everywhere once the answer was `everywhere` | [`Complaint::AfterEverywhere`] |
//! | ... everywhere 1.2 L after the answer was `pending` | [`Complaint::AfterBound`] |
//! | ... and at once by whatever is decided on the primary: refresh | [`Complaint::AfterEnd`] |
//! | a token that nothing may have ended is accepted | [`Complaint::Refused`] |
//! | a refresh token has one successor, and has it for the grace only | [`Complaint::Successors`], [`Complaint::AfterGrace`] |
//! | a flag is what was set last | [`Complaint::Flag`] |
//! | no answer is outside the contract | [`Complaint::Unexpected`] |
//!
//! With [`Durability::Asynchronous`] a failover may lose acknowledged writes. Then what can only be
//! explained by a lost write is counted, unless it brings back what was ended `everywhere`: that is
//! a contradiction under any terms.
//!
//! Unavailable is never a contradiction; how often it was answered is in [`Verdict::figures`].

mod call;
mod ends;
mod figures;
mod judge;
mod refreshes;
mod register;
#[cfg(test)]
mod tests;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

pub use call::{Action, Call, Grant, Outcome, Reach, Why};
pub use figures::{Figure, Kind};
pub use judge::{Complaint, Contradiction, Durability, Loss, Terms, Verdict};

/// The calls of all clients. Cheap to clone; clones record into the same history.
#[derive(Debug, Clone)]
pub struct History {
    began: Instant,
    calls: Arc<Mutex<Vec<Call>>>,
}

impl Default for History {
    fn default() -> Self {
        Self {
            began: Instant::now(),
            calls: Arc::default(),
        }
    }
}

impl History {
    /// The time since it began: the clock of its calls.
    pub fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// Makes a call and records it. An outcome that never came, because the future was dropped, is
    /// not recorded: let the call itself give up, and say [`Outcome::Unknown`].
    pub async fn record(
        &self,
        client: usize,
        instance: usize,
        action: Action,
        call: impl Future<Output = Outcome>,
    ) -> Outcome {
        let start = self.now();
        let outcome = call.await;
        let end = self.now();
        self.push(Call {
            client,
            instance,
            start,
            end,
            action,
            outcome: outcome.clone(),
        });
        outcome
    }

    /// Adds a call that was made elsewhere.
    pub fn push(&self, call: Call) {
        self.lock().push(call);
    }

    /// The calls so far, by their ends.
    pub fn calls(&self) -> Vec<Call> {
        let mut calls = self.lock().clone();
        calls.sort_by_key(|call| call.end);
        calls
    }

    /// The calls that ended since then, by their ends.
    pub fn calls_since(&self, from: Duration) -> Vec<Call> {
        let all = self.lock();
        let calls = all.iter().filter(|call| call.end >= from);
        let mut calls: Vec<_> = calls.cloned().collect();
        calls.sort_by_key(|call| call.end);
        calls
    }

    /// Reads it all.
    pub fn judge(&self, terms: &Terms) -> Verdict {
        judge::judge(&self.calls(), terms)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Call>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
