//! Places in lists, sealed: `base64url(tag || place)`, the tag an HMAC over list and place.

use aws_lc_rs::{constant_time::verify_slices_are_equal, hmac};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sso_core::ports::Cursors;

use crate::keyring::MasterKey;

/// 128 bits of the HMAC: more than anybody can guess over a network.
const TAG_BYTES: usize = 16;
/// Longest cursor that is looked at.
const MAX_CURSOR: usize = 256;

/// Seals under a key derived from the master key, which all instances of a database share.
pub struct SealedCursors(hmac::Key);

impl SealedCursors {
    /// Under this master key.
    pub fn new(master: &MasterKey) -> Self {
        let key = master.derive("sso cursors");
        Self(hmac::Key::new(hmac::HMAC_SHA256, &*key))
    }

    /// The query's length goes first, so that no other query and place give the same bytes.
    fn tag(&self, query: &str, place: &[u8]) -> [u8; TAG_BYTES] {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(&(query.len() as u64).to_be_bytes());
        context.update(query.as_bytes());
        context.update(place);
        let mut tag = [0; TAG_BYTES];
        tag.copy_from_slice(&context.sign().as_ref()[..TAG_BYTES]);
        tag
    }
}

impl Cursors for SealedCursors {
    fn seal(&self, query: &str, place: &[u8]) -> String {
        URL_SAFE_NO_PAD.encode([&self.tag(query, place)[..], place].concat())
    }

    fn open(&self, query: &str, cursor: &str) -> Option<Vec<u8>> {
        if cursor.len() > MAX_CURSOR {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
        let (tag, place) = bytes.split_at_checked(TAG_BYTES)?;
        verify_slices_are_equal(tag, &self.tag(query, place)).ok()?;
        Some(place.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cursors(key: u8) -> SealedCursors {
        SealedCursors::new(&MasterKey::from_bytes(&[key; 32]))
    }

    #[test]
    fn a_cursor_opens_for_its_own_list_under_its_own_key() {
        let cursor = cursors(1).seal("users", b"place");
        assert_eq!(cursors(1).open("users", &cursor).unwrap(), b"place");
        assert_eq!(cursors(1).open("events", &cursor), None);
        assert_eq!(cursors(2).open("users", &cursor), None);
        // What moves from the query to the place is another cursor.
        let other = cursors(1).seal("usersp", b"lace");
        assert_ne!(cursor, other);
        assert_eq!(cursors(1).open("users", &other), None);
    }

    proptest! {
        #[test]
        fn nobody_makes_one_up(text in ".{0,300}") {
            prop_assert_eq!(cursors(1).open("users", &text), None);
        }

        #[test]
        fn a_changed_one_does_not_open(place in prop::collection::vec(any::<u8>(), 0..40), at in any::<prop::sample::Index>(), bit in 0..8_u8) {
            let cursor = cursors(1).seal("users", &place);
            let mut bytes = URL_SAFE_NO_PAD.decode(&cursor).unwrap();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            prop_assert_eq!(cursors(1).open("users", &URL_SAFE_NO_PAD.encode(bytes)), None);
        }
    }
}
