//! When instances beat.

use std::time::Duration;

use super::Revocations;

impl Revocations {
    /// How long until the next beat is due, if there is one `every` so often. All instances have the same
    /// moments, by the store's clock: their commits share a flush, and who waits for all of them waits
    /// for one moment, not for the last of many.
    pub fn until_beat(&self, every: Duration) -> Duration {
        let nanos = self.primary_now().unix_timestamp_nanos();
        let gone = nanos.rem_euclid(i128::try_from(every.as_nanos()).unwrap_or(i128::MAX).max(1));
        let left = every.saturating_sub(Duration::from_nanos(u64::try_from(gone).unwrap_or(0)));
        // That near it is the moment of the last one, which the clock tells a little differently now.
        if left < every / 4 { left + every } else { left }
    }
}
