//! Addresses that stand on more than one line, found with 24 bytes a line.

use std::collections::HashMap;

use sso_core::values::Email;
use sso_crypto::sha256;

/// What is remembered of an address.
type Digest = [u8; 16];

/// The addresses of a file, without the addresses.
#[derive(Default)]
pub(super) struct Addresses(Vec<(Digest, u64)>);

/// The first other line on which the address of this line stands.
pub(super) type Duplicates = HashMap<u64, u64>;

impl Addresses {
    /// An address by its canonical form: who differs by case only is the same.
    pub(super) fn add(&mut self, email: &Email, line: u64) {
        let mut digest = Digest::default();
        digest.copy_from_slice(&sha256(email.canonical().as_bytes())[..16]);
        self.0.push((digest, line));
    }

    /// The lines whose address is not theirs alone.
    pub(super) fn duplicates(mut self) -> Duplicates {
        self.0.sort_unstable();
        let same = self.0.chunk_by(|(a, _), (b, _)| a == b);
        let mut found = Duplicates::new();
        for lines in same.filter(|lines| lines.len() > 1) {
            for (_, line) in lines {
                let other = if *line == lines[0].1 {
                    lines[1].1
                } else {
                    lines[0].1
                };
                found.insert(*line, other);
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_differs_by_case_only_is_the_same_and_every_line_is_told() {
        let mut addresses = Addresses::default();
        let lines = ["a@b.c", "A@b.c", "x@b.c", "a@B.C", "y@b.c"];
        for (line, email) in (1..).zip(lines) {
            addresses.add(&Email::parse(email).unwrap(), line);
        }
        let expected = [(1, 2), (2, 1), (4, 1)];
        assert_eq!(addresses.duplicates(), Duplicates::from(expected));
    }
}
