//! Waiting until every instance obeys.

use std::{sync::Arc, time::Duration};

use sso_core::ports::store::{Reach, Stamp};

use super::{Leases, error::LeaseError, reading::Reading};

/// Between two looks: a small part of what a beat takes.
const PAUSE: Duration = Duration::from_millis(10);

/// One who waits for a commit to be obeyed.
struct Waiter {
    stamp: Stamp,
    /// When the COMMIT was answered, at the latest.
    since: Duration,
    /// Where in the log the commit is, at the latest: known from the first look after it.
    position: Option<i64>,
}

/// What a look means to a waiter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Obeyed,
    NotYet,
    /// Another timeline: it may be lost.
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
        let mut after = waiter.since;
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
            clock.sleep_until((now + PAUSE).min(end)).await;
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
        let early = shared
            .timelines
            .answers_early(reading.system, reading.timeline, reading.sent);
        let late = reading.sent >= waiter.since + shared.terms.bound();
        let obeyed = late || (early && reading.is_obeyed(waiter.stamp, shared.id));
        waiter.judge(&reading, obeyed)
    }
}

impl Waiter {
    /// Obeyed by all is not enough where a failover may lose it: then nobody holds it after that.
    fn judge(&mut self, reading: &Reading, obeyed: bool) -> Verdict {
        if reading.timeline != self.stamp.timeline {
            return Verdict::Never;
        }
        let position = *self.position.get_or_insert(reading.flushed);
        if obeyed && reading.is_safe(position) {
            Verdict::Obeyed
        } else {
            Verdict::NotYet
        }
    }
}
