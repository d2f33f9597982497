//! How long what is believed.

use std::time::Duration;

/// How long an answered beat is believed, and how long an acknowledgement is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseTerms {
    /// `L`: how long after it was sent an answered beat is believed.
    pub lease: Duration,
    /// How long a request waits for `everywhere` before it answers `pending`.
    pub ack_wait: Duration,
}

impl LeaseTerms {
    /// How long after a COMMIT was answered no lease can run any more that does not know of it:
    /// L, and what clocks differ in their pace.
    pub fn bound(&self) -> Duration {
        bound(self.lease)
    }
}

/// 1.2 `lease`.
pub fn bound(lease: Duration) -> Duration {
    lease + lease / 5
}

impl Default for LeaseTerms {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(10),
            ack_wait: Duration::from_secs(1),
        }
    }
}
