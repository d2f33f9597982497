//! Keyed digests that the instances of a database share, by what only they have.

use aws_lc_rs::hmac;

use crate::keyring::MasterKey;

/// HMAC-SHA256 (RFC 2104) under a key for one purpose, derived from the master key; 128 bits of it.
#[derive(Clone)]
pub struct SharedDigest(hmac::Key);

impl SharedDigest {
    /// For `purpose`; of another purpose or master key nothing can be told from it.
    pub fn new(master: &MasterKey, purpose: &str) -> Self {
        let key = master.derive(purpose);
        Self(hmac::Key::new(hmac::HMAC_SHA256, &*key))
    }

    /// Of these bytes.
    pub fn of(&self, bytes: &[u8]) -> [u8; 16] {
        let tag = hmac::sign(&self.0, bytes);
        tag.as_ref().first_chunk().copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instances_with_one_master_key_agree_and_nobody_else_does() {
        let digest = |key, purpose| SharedDigest::new(&MasterKey::from_bytes(&[key; 32]), purpose);
        let one = digest(1, "hints").of(b"entry");
        assert_eq!(digest(1, "hints").of(b"entry"), one);
        assert_ne!(digest(2, "hints").of(b"entry"), one);
        assert_ne!(digest(1, "counts").of(b"entry"), one);
        assert_ne!(digest(1, "hints").of(b"entrz"), one);
    }
}
