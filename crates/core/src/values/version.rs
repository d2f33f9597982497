//! Versions: how this service says "fresh enough" without clocks or log positions.

use std::fmt;

/// The version of a user's row. It rises with every change of the row, under its row lock, and no
/// number is used twice, not even across a failover: see [`Version::next`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Version(u64);

impl Version {
    /// Below every version that a row can have.
    pub const ZERO: Self = Self(0);

    /// The version with this number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number of this version.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The version after this one on a timeline: `max(version + 1, timeline << 32)`. A failover
    /// raises the timeline, so what a lost primary handed out is never handed out again. Embedded
    /// databases have timeline 0.
    #[must_use]
    pub fn next(self, timeline: u32) -> Self {
        Self((self.0 + 1).max(u64::from(timeline) << 32))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_timeline_leaves_no_number_to_be_used_twice() {
        let lost = Version::new(7).next(1);
        assert_eq!(lost, Version::new(1 << 32));
        assert!(Version::new(7).next(2) > lost.next(1).next(1));
        assert_eq!(Version::new(7).next(0), Version::new(8));
    }
}
