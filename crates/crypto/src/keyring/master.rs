//! The master key, and sealing under it.

use std::fmt;

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hmac,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use sso_core::ports::Random;
use zeroize::Zeroizing;

const KEY_BYTES: usize = 32;
/// Bytes that tell one master key from another.
const CHECK_BYTES: usize = 8;
/// First byte of everything sealed: how the rest is to be read.
const VERSION: u8 = 1;
/// Version, check value, nonce; then the ciphertext with its tag.
const HEAD_BYTES: usize = 1 + CHECK_BYTES + NONCE_LEN;

/// The key under which private keys are sealed: 32 bytes that every instance of one database
/// shares. Wiped from memory when dropped, never printed.
#[derive(Clone)]
pub struct MasterKey(Zeroizing<[u8; KEY_BYTES]>);

/// A text that is no master key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a master key is 32 bytes in base64 (44 characters)")]
pub struct MalformedMasterKey;

/// Why something sealed cannot be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OpenError {
    /// It was sealed under another master key.
    OtherMasterKey,
    /// It was changed since, or is of a version that we do not know.
    Corrupt,
}

impl MasterKey {
    /// Makes a new one.
    pub fn generate(random: &dyn Random) -> Self {
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        random.fill(&mut *key);
        Self(key)
    }

    /// The key of these bytes.
    pub fn from_bytes(bytes: &[u8; KEY_BYTES]) -> Self {
        Self(Zeroizing::new(*bytes))
    }

    /// Reads base64 (RFC 4648, section 4) of 32 bytes; white space around it is ignored, since
    /// files end with a newline.
    pub fn from_base64(text: &str) -> Result<Self, MalformedMasterKey> {
        let bytes = STANDARD
            .decode(text.trim())
            .map(Zeroizing::new)
            .map_err(|_| MalformedMasterKey)?;
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        if bytes.len() != KEY_BYTES {
            return Err(MalformedMasterKey);
        }
        key.copy_from_slice(&bytes);
        Ok(Self(key))
    }

    /// Writes it for [`MasterKey::from_base64`].
    pub fn to_base64(&self) -> Zeroizing<String> {
        Zeroizing::new(STANDARD.encode(*self.0))
    }

    /// Encrypts `secret` with AES-256-GCM. `context` must be the same to open it.
    pub(super) fn seal(
        &self,
        secret: &[u8],
        context: &str,
        random: &dyn Random,
    ) -> Result<Vec<u8>, OpenError> {
        let mut nonce = [0; NONCE_LEN];
        random.fill(&mut nonce);
        let mut body = Zeroizing::new(Vec::with_capacity(secret.len() + AES_256_GCM.tag_len()));
        body.extend_from_slice(secret);
        self.cipher()?
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(context.as_bytes()),
                &mut *body,
            )
            .map_err(|_| OpenError::Corrupt)?;
        Ok([&[VERSION][..], &self.check_value(), &nonce, &body].concat())
    }

    /// Decrypts what [`MasterKey::seal`] made.
    pub(super) fn open(
        &self,
        sealed: &[u8],
        context: &str,
    ) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        let (head, body) = sealed
            .split_at_checked(HEAD_BYTES)
            .ok_or(OpenError::Corrupt)?;
        let (start, nonce) = head.split_at(1 + CHECK_BYTES);
        if start[0] != VERSION {
            return Err(OpenError::Corrupt);
        }
        if start[1..] != self.check_value() {
            return Err(OpenError::OtherMasterKey);
        }
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| OpenError::Corrupt)?;
        let mut secret = Zeroizing::new(body.to_vec());
        let length = self
            .cipher()?
            .open_in_place(nonce, Aad::from(context.as_bytes()), &mut secret)
            .map_err(|_| OpenError::Corrupt)?
            .len();
        secret.truncate(length);
        Ok(secret)
    }

    /// A key for one purpose: the master key itself encrypts nothing.
    pub(crate) fn derive(&self, purpose: &str) -> Zeroizing<[u8; KEY_BYTES]> {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &*self.0);
        let mut derived = Zeroizing::new([0; KEY_BYTES]);
        derived.copy_from_slice(hmac::sign(&key, purpose.as_bytes()).as_ref());
        derived
    }

    fn cipher(&self) -> Result<LessSafeKey, OpenError> {
        UnboundKey::new(&AES_256_GCM, &*self.derive("sso key ring: seal"))
            .map(LessSafeKey::new)
            .map_err(|_| OpenError::Corrupt)
    }

    /// Tells "another master key" from "damaged" when something does not open, and nothing about
    /// the key.
    fn check_value(&self) -> [u8; CHECK_BYTES] {
        let mut check = [0; CHECK_BYTES];
        check.copy_from_slice(&self.derive("sso key ring: check")[..CHECK_BYTES]);
        check
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SystemRandom;

    #[test]
    fn a_master_key_is_read_as_it_was_written_and_never_printed() {
        let key = MasterKey::generate(&SystemRandom);
        let text = key.to_base64();
        let again = MasterKey::from_base64(&format!("{}\n", *text)).unwrap();
        assert_eq!(*again.0, *key.0);
        assert_eq!(format!("{key:?}"), "MasterKey(..)");
    }

    #[test]
    fn only_32_bytes_of_base64_are_a_master_key() {
        for text in [
            String::new(),
            "secret".to_owned(),
            STANDARD.encode([1; 31]),
            STANDARD.encode([1; 33]),
            "0".repeat(64),
            STANDARD.encode([0xfb; 32]).replace('+', "-"),
        ] {
            assert_eq!(
                MasterKey::from_base64(&text).err(),
                Some(MalformedMasterKey),
                "{text}"
            );
        }
    }

    #[test]
    fn what_was_sealed_opens_under_the_same_key_and_context_only() {
        let key = MasterKey::generate(&SystemRandom);
        let sealed = key
            .seal(b"private", "kid|access|EdDSA", &SystemRandom)
            .unwrap();
        assert_eq!(
            **key.open(&sealed, "kid|access|EdDSA").unwrap(),
            *b"private"
        );
        let elsewhere = key.open(&sealed, "kid|refresh|EdDSA");
        assert_eq!(elsewhere.err(), Some(OpenError::Corrupt));
        let other = MasterKey::generate(&SystemRandom);
        let opened = other.open(&sealed, "kid|access|EdDSA");
        assert_eq!(opened.err(), Some(OpenError::OtherMasterKey));
    }

    #[test]
    fn no_changed_or_shortened_byte_goes_unnoticed() {
        let key = MasterKey::generate(&SystemRandom);
        let sealed = key.seal(b"private", "context", &SystemRandom).unwrap();
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(key.open(&changed, "context").is_err(), "byte {at}");
            assert!(key.open(&sealed[..at], "context").is_err(), "{at} bytes");
        }
    }

    #[test]
    fn the_same_secret_is_sealed_differently_each_time() {
        let key = MasterKey::generate(&SystemRandom);
        let seal = || key.seal(b"private", "context", &SystemRandom).unwrap();
        assert_ne!(seal(), seal());
    }
}
