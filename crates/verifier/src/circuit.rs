//! Keeps questions away from an address that does not answer.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use crate::random::Backoff;

/// Failures in a row after which an address is left alone.
const FAILURES: u32 = 3;
/// First and longest time that it is left alone; after each one question tries it.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));

/// Closed while the address answers.
#[derive(Debug)]
pub(crate) struct Circuit(Mutex<State>);

#[derive(Debug)]
struct State {
    failures: u32,
    open_until: Duration,
    backoff: Backoff,
}

impl Circuit {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(State {
            failures: 0,
            open_until: Duration::ZERO,
            backoff: Backoff::new(PAUSES.0, PAUSES.1),
        }))
    }

    /// Whether a question may be asked now. While the circuit is open it is one question a pause.
    pub(crate) fn admits(&self, now: Duration) -> bool {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.failures < FAILURES {
            return true;
        }
        if now < state.open_until {
            return false;
        }
        state.open_until = now + state.backoff.pause();
        true
    }

    pub(crate) fn answered(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.failures = 0;
        state.backoff.reset();
    }

    pub(crate) fn failed(&self, now: Duration) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.failures = state.failures.saturating_add(1);
        if state.failures == FAILURES {
            state.open_until = now + state.backoff.pause();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn an_address_that_fails_is_left_alone_and_tried_once_a_pause() {
        let circuit = Circuit::new();
        for _ in 0..FAILURES {
            assert!(circuit.admits(SECOND));
            circuit.failed(SECOND);
        }
        assert!(!circuit.admits(SECOND));
        let later = SECOND + PAUSES.0;
        assert!(circuit.admits(later));
        assert!(!circuit.admits(later), "one question a pause");
        assert!(circuit.admits(later + PAUSES.1));
    }

    #[test]
    fn an_answer_closes_it() {
        let circuit = Circuit::new();
        for _ in 0..=FAILURES {
            circuit.failed(SECOND);
        }
        circuit.answered();
        assert!(circuit.admits(SECOND));
        assert!(circuit.admits(SECOND));
    }
}
