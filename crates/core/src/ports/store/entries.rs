//! The entries of an answer, however many.

use std::{iter::Flatten, vec};

use super::Revocation;

/// How many are one piece (20 kB).
const PIECE: usize = 256;

/// In pieces: the first answer may bring a hundred thousand. Nothing is copied as they become more,
/// and what was taken is free while the rest is not.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Entries {
    pieces: Vec<Vec<Revocation>>,
}

impl Entries {
    /// One more.
    pub fn push(&mut self, entry: Revocation) {
        match self.pieces.last_mut() {
            Some(piece) if piece.len() < PIECE => piece.push(entry),
            Some(_) => {
                let mut piece = Vec::with_capacity(PIECE);
                piece.push(entry);
                self.pieces.push(piece);
            }
            // Nearly every answer has none or few.
            None => self.pieces.push(vec![entry]),
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.pieces.iter().map(Vec::len).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }
}

impl IntoIterator for Entries {
    type Item = Revocation;
    type IntoIter = Flatten<vec::IntoIter<Vec<Revocation>>>;

    fn into_iter(self) -> Self::IntoIter {
        self.pieces.into_iter().flatten()
    }
}

impl FromIterator<Revocation> for Entries {
    fn from_iter<T: IntoIterator<Item = Revocation>>(all: T) -> Self {
        let mut entries = Self::default();
        for entry in all {
            entries.push(entry);
        }
        entries
    }
}

#[cfg(test)]
mod tests {
    use time::OffsetDateTime;
    use uuid::Uuid;

    use super::*;
    use crate::{
        ports::store::{Revoked, Stamp},
        values::SessionId,
    };

    #[test]
    fn they_come_out_as_they_went_in_over_many_pieces() {
        assert!(Entries::default().is_empty());
        let entry = |id| Revocation {
            id,
            revoked: Revoked::Session(SessionId::from_uuid(Uuid::nil())),
            effect: None,
            until: OffsetDateTime::UNIX_EPOCH,
            stamp: Stamp::default(),
        };
        let all = (0..1_000).map(entry);
        let entries: Entries = all.clone().collect();
        assert_eq!(entries.len(), 1_000);
        assert!(!entries.is_empty());
        assert!(entries.into_iter().eq(all));
    }
}
