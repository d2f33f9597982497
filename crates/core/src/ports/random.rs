//! Randomness.

use time::OffsetDateTime;
use uuid::{Builder, Uuid};

/// A source of random bytes that nobody can guess. Tests seed it.
pub trait Random: Send + Sync {
    /// Fills `bytes`.
    fn fill(&self, bytes: &mut [u8]);
}

/// Identifiers from a random source.
pub trait RandomIds {
    /// A UUID of version 7 (RFC 9562, 5.7) of the time `now`.
    fn uuid_v7(&self, now: OffsetDateTime) -> Uuid;

    /// A UUID of version 4 (RFC 9562, 5.4).
    fn uuid_v4(&self) -> Uuid;
}

impl<R: Random + ?Sized> RandomIds for R {
    fn uuid_v7(&self, now: OffsetDateTime) -> Uuid {
        let mut random = [0; 10];
        self.fill(&mut random);
        let milliseconds = u64::try_from(now.unix_timestamp_nanos() / 1_000_000).unwrap_or(0);
        Builder::from_unix_timestamp_millis(milliseconds, &random).into_uuid()
    }

    fn uuid_v4(&self) -> Uuid {
        let mut random = [0; 16];
        self.fill(&mut random);
        Builder::from_random_bytes(random).into_uuid()
    }
}
