//! Time.

use std::time::Duration;

use async_trait::async_trait;
use time::OffsetDateTime;

/// The two times that a service needs, and waiting. Tests move it by hand.
#[async_trait]
pub trait Clock: Send + Sync {
    /// Wall-clock time (UTC): what is written and read by others. It can jump.
    fn now(&self) -> OffsetDateTime;

    /// Time since some start that never jumps and counts suspension (CLOCK_BOOTTIME): leases,
    /// deadlines.
    fn monotonic(&self) -> Duration;

    /// Returns once [`monotonic`](Clock::monotonic) has reached `until`.
    async fn sleep_until(&self, until: Duration);
}
