//! The janitor: deletes what is past its age, in batches so small that nobody waits for it.

use std::time::Duration;

use metrics::counter;
use time::OffsetDateTime;

use crate::{
    metrics::JANITOR_DELETED,
    ports::{StoreError, store::Swept},
    sso::Sso,
};

/// How long a session's row outlives its end: longer than any of its tokens, so that a late logout
/// or a reused refresh token still finds it.
pub const SESSIONS_KEPT: Duration = Duration::from_hours(24);
/// The same, where access tokens live for so long.
pub(crate) fn sessions_kept(access_ttl: Duration) -> Duration {
    SESSIONS_KEPT.max(2 * access_ttl)
}

/// How long a revocation outlives the time until which it matters.
pub const REVOCATIONS_KEPT: Duration = Duration::from_mins(1);

/// How long things are kept, and how many are deleted at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ages {
    /// Delivered events, from their delivery.
    pub events: Duration,
    /// Records of the audit log.
    pub audit: Duration,
    /// Most rows of one short transaction.
    pub batch: u32,
}

impl Ages {
    /// Before which time what is in `table` is past its age.
    fn before(&self, table: Swept, now: OffsetDateTime, access_ttl: Duration) -> OffsetDateTime {
        match table {
            Swept::Sessions => now - sessions_kept(access_ttl),
            Swept::Revocations => now - REVOCATIONS_KEPT,
            Swept::Events => now - self.events,
            Swept::Audit => now - self.audit,
        }
    }
}

/// Deletes one batch from `table`. Says how many rows, and whether there may be more.
///
/// No revocations while this instance is not trusted: after a long outage it writes back what a failover
/// lost before it sweeps.
pub async fn sweep(sso: &Sso, table: Swept, ages: &Ages) -> Result<(u64, bool), StoreError> {
    if table == Swept::Revocations && !sso.revocations.is_trusted() {
        return Ok((0, false));
    }
    let now = match table {
        // A clock that was set forward for a while must not make revoked tokens good.
        Swept::Revocations => sso.revocations.steady_now(),
        Swept::Sessions | Swept::Events | Swept::Audit => sso.now(),
    };
    let before = ages.before(table, now, sso.policy.access_ttl);
    let deleted = sso.store.sweep(table, before, ages.batch).await?;
    counter!(JANITOR_DELETED, "table" => table.as_str()).increment(deleted);
    Ok((deleted, deleted >= u64::from(ages.batch)))
}
