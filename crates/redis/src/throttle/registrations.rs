//! Registrations of all instances, counted together.

use std::time::Duration;

use sso_core::Network;

use super::Shared;
use crate::traces;

impl Shared {
    /// How long a network waits before it may register; zero also for what it is told.
    pub(super) async fn registration(&self, network: Network, op: &str) -> Option<Duration> {
        let mut link = self.redis.link()?;
        let rules = &self.rules;
        let mut call = self.registrations.prepare_invoke();
        call.key(self.key("registrations", [&network.bits().to_be_bytes(), &[]]))
            .arg(op)
            .arg(microseconds(rules.registration_interval))
            .arg(rules.registration_burst.max(1))
            .arg(microseconds(rules.conflict_interval))
            .arg(rules.registration_conflicts.max(1));
        let answer: redis::RedisResult<u64> =
            traces::invoke("registrations", &call, &mut link.connection).await;
        let answer = answer.inspect_err(|error| {
            tracing::debug!(%error, "Redis does not count");
            self.redis.failed(&link, error);
        });
        answer.ok().map(Duration::from_millis)
    }
}

fn microseconds(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
