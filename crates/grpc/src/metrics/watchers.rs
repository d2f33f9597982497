//! Who watches revocations, and why they stopped.

use metrics::{Unit, counter, describe_counter, describe_gauge, gauge};

const WATCHERS: &str = "sso_revocation_watchers";
const ENDED: &str = "sso_revocation_watches_ended_total";

/// Why a stream ended: the values of the label `reason`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The watcher went away, or his deadline came.
    Left,
    /// He did not read.
    Slow,
    /// His credentials are not good any more.
    Refused,
    /// The service stops.
    Stopping,
}

impl Ended {
    const ALL: [Self; 4] = [Self::Left, Self::Slow, Self::Refused, Self::Stopping];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Slow => "slow_reader",
            Self::Refused => "refused",
            Self::Stopping => "stopping",
        }
    }
}

/// Describes the metrics and makes their series exist at 0.
pub(super) fn register() {
    describe_gauge!(
        WATCHERS,
        Unit::Count,
        "Open streams of sso.v1.Revocations/Watch."
    );
    describe_counter!(
        ENDED,
        Unit::Count,
        "Streams of sso.v1.Revocations/Watch that ended, by reason."
    );
    gauge!(WATCHERS).set(0.0);
    for ended in Ended::ALL {
        counter!(ENDED, "reason" => ended.as_str()).absolute(0);
    }
}

/// A stream that is counted as long as this lives.
pub(crate) struct Counted(());

impl Counted {
    /// One more.
    pub(crate) fn new() -> Self {
        gauge!(WATCHERS).increment(1.0);
        Self(())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        gauge!(WATCHERS).decrement(1.0);
    }
}

/// One has ended.
pub(crate) fn ended(why: Ended) {
    counter!(ENDED, "reason" => why.as_str()).increment(1);
}
