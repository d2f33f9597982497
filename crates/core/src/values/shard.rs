//! Shards of the outbox: how several relays share the work.

use super::UserId;

/// As many relays can share the work. Stored with each event.
pub const SHARDS: u8 = 8;

/// The shard of a user's events: by the random end of his id, since its start is a time.
pub fn shard_of(user: UserId) -> u8 {
    user.as_uuid().as_bytes()[15] % SHARDS
}

/// Some of the shards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ShardSet(u8);

impl ShardSet {
    /// None of them.
    pub const NONE: Self = Self(0);
    /// All of them.
    pub const ALL: Self = Self(u8::MAX);

    /// The set of the bits: bit 0 is shard 0.
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits)
    }

    /// A bit for each shard.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Whether `shard` is one of them.
    pub const fn contains(self, shard: u8) -> bool {
        shard < SHARDS && self.0 & (1 << shard) != 0
    }

    /// These and `shard`.
    #[must_use]
    pub const fn with(self, shard: u8) -> Self {
        Self(self.0 | (1 << (shard % SHARDS)))
    }

    /// Those of these that are in `other`.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Those of these that are not in `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// How many.
    pub const fn len(self) -> u32 {
        self.0.count_ones()
    }

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// What each of them gets of so many, rounded up.
    pub const fn share_of(self, all: u32) -> u32 {
        match self.len() {
            0 => all,
            shards => all.div_ceil(shards),
        }
    }

    /// One after the other, rising.
    pub fn iter(self) -> impl Iterator<Item = u8> {
        (0..SHARDS).filter(move |shard| self.contains(*shard))
    }
}

impl FromIterator<u8> for ShardSet {
    fn from_iter<I: IntoIterator<Item = u8>>(shards: I) -> Self {
        shards.into_iter().fold(Self::NONE, Self::with)
    }
}
