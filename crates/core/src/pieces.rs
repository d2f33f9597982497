//! A list in pieces.

use std::{iter::Flatten, slice, vec};

/// Bytes of a piece. Lists of different things have pieces of one size, so what one gives back the other
/// gets.
const PIECE: usize = 16 * 1024;

/// A list of which there may be few or a hundred thousand. Nothing is copied as it grows, no room is
/// kept for as many again, and what was taken out is free while the rest is not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pieces<T> {
    pieces: Vec<Vec<T>>,
}

impl<T> Pieces<T> {
    /// So many are one piece.
    const MOST: usize = {
        assert!(0 < size_of::<T>() && size_of::<T>() <= PIECE);
        PIECE / size_of::<T>()
    };

    /// One more.
    pub fn push(&mut self, one: T) {
        match self.pieces.last_mut() {
            Some(piece) if piece.len() < Self::MOST => {
                if piece.len() == piece.capacity() {
                    piece.reserve_exact(piece.len().min(Self::MOST - piece.len()));
                }
                piece.push(one);
            }
            Some(_) => {
                let mut piece = Vec::with_capacity(Self::MOST);
                piece.push(one);
                self.pieces.push(piece);
            }
            // Most lists have few.
            None => self.pieces.push(vec![one]),
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

    /// All, in order.
    pub fn iter(&self) -> Flatten<slice::Iter<'_, Vec<T>>> {
        self.pieces.iter().flatten()
    }
}

impl<T> Default for Pieces<T> {
    fn default() -> Self {
        Self { pieces: Vec::new() }
    }
}

impl<T> IntoIterator for Pieces<T> {
    type Item = T;
    type IntoIter = Flatten<vec::IntoIter<Vec<T>>>;

    /// A piece is free when its last one is out.
    fn into_iter(self) -> Self::IntoIter {
        self.pieces.into_iter().flatten()
    }
}

impl<'a, T> IntoIterator for &'a Pieces<T> {
    type Item = &'a T;
    type IntoIter = Flatten<slice::Iter<'a, Vec<T>>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<T> Extend<T> for Pieces<T> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, more: I) {
        more.into_iter().for_each(|one| self.push(one));
    }
}

impl<T> FromIterator<T> for Pieces<T> {
    fn from_iter<I: IntoIterator<Item = T>>(all: I) -> Self {
        let mut pieces = Self::default();
        pieces.extend(all);
        pieces
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_comes_out_over_many_pieces() {
        assert!(Pieces::<u64>::default().is_empty());
        let all = 0..10_000_u64;
        let pieces: Pieces<u64> = all.clone().collect();
        assert_eq!(pieces.len(), 10_000);
        assert!(!pieces.is_empty());
        assert!(pieces.iter().copied().eq(all.clone()));
        assert!(pieces.into_iter().eq(all));
    }

    #[test]
    fn no_piece_is_larger_than_one() {
        for count in [1, 3, 203, 204, 205, 1_000] {
            let pieces: Pieces<[u8; 80]> = (0..count).map(|_| [0; 80]).collect();
            assert_eq!(pieces.len(), count);
            let largest = pieces.pieces.iter().map(Vec::capacity).max();
            assert!(largest <= Some(PIECE / 80), "{largest:?}");
        }
    }
}
