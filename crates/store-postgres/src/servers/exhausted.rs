//! A server that answers, and has no room for what it is told.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use tokio_postgres::{Error, error::SqlState};

use super::{errors::sentence, lock};

/// For so long after the last statement that was refused. One that succeeds says nothing of the next:
/// each table has a last page of its own, and a beat finds room where a new row does not.
const REMEMBERED: Duration = Duration::from_secs(10);

/// The last refusal for want of disk or memory.
#[derive(Default)]
pub(super) struct Exhausted {
    last: Mutex<Option<(Instant, String)>>,
}

impl Exhausted {
    pub(super) fn look_at(&self, error: &Error, now: Instant) {
        if error.code().is_some_and(is_exhaustion) {
            *lock(&self.last) = Some((now, sentence(error)));
        }
    }

    /// What it said; `None`: there is room, or nobody has asked for any lately.
    pub(super) fn at(&self, now: Instant) -> Option<String> {
        let last = lock(&self.last);
        let recent = last
            .as_ref()
            .filter(|(at, _)| now.saturating_duration_since(*at) < REMEMBERED);
        recent.map(|(_, said)| said.clone())
    }
}

fn is_exhaustion(code: &SqlState) -> bool {
    [
        SqlState::DISK_FULL,
        SqlState::OUT_OF_MEMORY,
        SqlState::IO_ERROR,
    ]
    .contains(code)
}
