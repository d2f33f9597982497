//! What rows amount to, in whatever order they come.

use sso_core::ports::dump::{Row, Tally};
use sso_crypto::sha256;

/// Adds a row. Sums of digests are equal only where the rows are: each is there once, by its key.
pub(super) fn add(tally: &mut Tally, row: &Row) {
    tally.rows += 1;
    let mut carry = 0;
    let digest = sha256(&row.canonical());
    for (sum, byte) in tally.digest.iter_mut().zip(digest).rev() {
        let both = u16::from(*sum) + u16::from(byte) + carry;
        // The lower eight bits; the rest is carried.
        [_, *sum] = both.to_be_bytes();
        carry = both >> 8;
    }
}

/// The beginning of a digest, for people.
pub(super) fn short(tally: &Tally) -> String {
    let mut text = hex(tally);
    text.truncate(16);
    text
}

/// All of it.
pub(super) fn hex(tally: &Tally) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(64);
    for byte in tally.digest {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use sso_core::ports::dump::Cell;

    fn tally(numbers: impl IntoIterator<Item = i64>) -> Tally {
        let mut tally = Tally::default();
        for number in numbers {
            add(&mut tally, &Row(vec![Cell::Integer(number)]));
        }
        tally
    }

    #[test]
    fn rows_amount_to_the_same_in_any_order_and_to_something_else_without_one_of_them() {
        assert_eq!(tally(0..1000), tally((0..1000).rev()));
        assert_ne!(tally(0..1000).digest, tally(1..1001).digest);
        assert_ne!(tally([7]).digest, tally([7, 7, 7]).digest);
        assert_eq!(tally([]), Tally::default());
    }
}
