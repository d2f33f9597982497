use std::sync::Arc;

use aws_lc_rs::hmac;
use sso_core::{
    ports::Random,
    throttle::{AccountKey, AccountKeys},
};
use zeroize::Zeroizing;

/// HMAC-SHA256 (RFC 2104) of canonical addresses under a key of this process, shortened to 128 bits:
/// counters that are keyed so hold nobody's address, and nobody can choose two that collide.
pub fn account_keys(random: &dyn Random) -> AccountKeys {
    let mut secret = Zeroizing::new([0; 32]);
    random.fill(&mut *secret);
    let key = hmac::Key::new(hmac::HMAC_SHA256, &*secret);
    Arc::new(move |email| {
        let tag = hmac::sign(&key, email.canonical().as_bytes());
        let short = tag.as_ref().first_chunk().copied().unwrap_or_default();
        AccountKey(u128::from_be_bytes(short))
    })
}

#[cfg(test)]
mod tests {
    use sso_core::values::Email;

    use super::*;
    use crate::SystemRandom;

    #[test]
    fn an_account_has_one_key_in_every_spelling_and_another_in_every_process() {
        let (one, other) = (account_keys(&SystemRandom), account_keys(&SystemRandom));
        let email = |text| Email::parse(text).unwrap();
        assert_eq!(one(&email("a@b")), one(&email("A@B")));
        assert_ne!(one(&email("a@b")), one(&email("a@c")));
        assert_ne!(one(&email("a@b")), other(&email("a@b")));
        assert_ne!(one(&email("a@b")), AccountKey(0));
    }
}
