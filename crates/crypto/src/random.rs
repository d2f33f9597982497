//! The source of random bytes of the operating system, and digests.

use aws_lc_rs::{digest, rand};
use sso_core::{ports::Random, values::KeyTag};
use uuid::Uuid;

/// Random bytes from the generator of aws-lc, which the operating system seeds.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn fill(&self, bytes: &mut [u8]) {
        if rand::fill(bytes).is_err() {
            // Keys, salts and ids that somebody can guess are worse than no service.
            tracing::error!("the operating system gives no random bytes");
            std::process::abort();
        }
    }
}

/// SHA-256 (FIPS 180-4).
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut output = [0; 32];
    output.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    output
}

/// A UUID of version 8 (RFC 9562, 5.8) made of a digest: nobody finds another text that has it, and
/// no id of version 7 is one.
pub(crate) fn uuid_of(text: &[u8]) -> Uuid {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&sha256(text)[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

/// The tag of a key.
pub(crate) fn key_tag(kid: &str) -> KeyTag {
    KeyTag::from_uuid(uuid_of(kid.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_bytes_are_written_and_differ() {
        let (mut a, mut b) = ([0; 32], [0; 32]);
        SystemRandom.fill(&mut a);
        SystemRandom.fill(&mut b);
        assert_ne!(a, [0; 32]);
        assert_ne!(a, b);
    }

    #[test]
    fn sha256_gives_the_known_answer() {
        let answer = sha256(b"abc");
        assert_eq!(answer[..4], [0xba, 0x78, 0x16, 0xbf]);
        assert_eq!(answer[28..], [0xf2, 0x00, 0x15, 0xad]);
    }
}
