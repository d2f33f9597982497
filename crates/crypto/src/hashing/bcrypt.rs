//! bcrypt, to verify imported hashes. New ones are never made.

use std::hint::black_box;

use sso_core::{ports::HashError, values::Password};
use zeroize::Zeroizing;

/// bcrypt looks at this many bytes of a password.
const MAX_BYTES: usize = 72;

/// Whether `password` has this hash, which must have been read before: tried are the bytes as
/// typed, which is what other systems hash, then the normalised form. Costs one hash at least.
pub(super) fn verify(encoded: &str, cost: u32, password: &Password) -> Result<bool, HashError> {
    let (typed, normalised) = (password.typed(), password.normalised());
    let differs = (normalised != typed).then_some(normalised);
    let mut worked = false;
    for candidate in [Some(typed), differs].into_iter().flatten() {
        if !is_told_apart(candidate.as_bytes()) {
            continue;
        }
        worked = true;
        // The crate compares in constant time.
        if bcrypt::verify(candidate, encoded).map_err(|_| UNREADABLE)? {
            return Ok(true);
        }
    }
    if !worked {
        black_box(bcrypt::hash_with_salt("", cost, [0; 16]).map_err(|_| UNREADABLE)?);
    }
    Ok(false)
}

const UNREADABLE: HashError = HashError::Unreadable("not a bcrypt hash");

/// Whether bcrypt tells this input from every shorter one. It does not look beyond 72 bytes, and it
/// repeats the input with a NUL after it up to 72 bytes, so that `"a\0a"` is the same to it as
/// `"a"`.
fn is_told_apart(input: &[u8]) -> bool {
    if input.len() > MAX_BYTES {
        return false;
    }
    let seen = repeated(input);
    let mut nuls = (0..input.len()).filter(|at| input[*at] == 0);
    !nuls.any(|at| repeated(&input[..at]) == seen)
}

fn repeated(input: &[u8]) -> Zeroizing<[u8; MAX_BYTES]> {
    let mut key = Zeroizing::new([0; MAX_BYTES]);
    let endless = input.iter().chain(&[0]).cycle();
    for (slot, byte) in key.iter_mut().zip(endless) {
        *slot = *byte;
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    const COST: u32 = 4;

    fn hash(bytes: impl AsRef<[u8]>) -> String {
        bcrypt::hash_with_salt(bytes, COST, [7; 16])
            .expect("the cost is allowed")
            .to_string()
    }

    fn verifies(password: &str, encoded: &str) -> bool {
        let password = Password::parse("password", password).expect("short enough");
        verify(encoded, COST, &password).expect("a bcrypt hash")
    }

    /// Published vectors of crypt_blowfish and jBCrypt.
    #[test]
    fn hashes_of_other_implementations_are_verified() {
        for (cost, password, encoded) in [
            (
                5,
                "U*U",
                "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
            ),
            (
                5,
                "U*U*U",
                "$2b$05$XXXXXXXXXXXXXXXXXXXXXOAcXxm9kjPGEMsLznoKqmqw7tc8WCx4a",
            ),
            (
                6,
                "",
                "$2y$06$DCq7YPn5Rq63x1Lad4cll.TV4S6ytwfsfvkgY8jIucDrjc8deX1s.",
            ),
        ] {
            let verifies = |password: &str| {
                let password = Password::parse("password", password).expect("short enough");
                verify(encoded, cost, &password).expect("a bcrypt hash")
            };
            assert!(verifies(password), "{encoded}");
            assert!(!verifies("U*U*"), "{encoded}");
        }
    }

    #[test]
    fn the_bytes_as_typed_are_tried_before_the_normalised_ones() {
        let typed = "\u{fb01}ancée";
        let normalised = Password::parse("password", typed).expect("short enough");
        assert_ne!(normalised.normalised(), typed);
        assert!(verifies(typed, &hash(typed)));
        assert!(verifies(typed, &hash(normalised.normalised())));
        assert!(!verifies(typed, &hash("fiancee")));
    }

    #[test]
    fn seventy_two_bytes_are_all_looked_at_and_more_are_refused() {
        let whole = "x".repeat(72);
        assert!(verifies(&whole, &hash(&whole)));
        assert!(!verifies(&format!("{}y", "x".repeat(71)), &hash(&whole)));
        // bcrypt itself would say yes.
        assert!(!verifies(&"x".repeat(73), &hash(&whole)));
        assert!(bcrypt::verify("x".repeat(73), &hash(&whole)).expect("a hash"));
    }

    #[test]
    fn a_repetition_that_bcrypt_cannot_tell_apart_is_refused() {
        assert!(
            bcrypt::verify("a\0a", &hash("a")).expect("a hash"),
            "why the rule is needed"
        );
        assert!(!verifies("a\0a", &hash("a")));
        assert!(!verifies("\0", &hash("")));
        let cut = format!("{}\0{}", "p".repeat(40), "p".repeat(31));
        assert!(!verifies(&cut, &hash("p".repeat(40))));
        assert!(verifies("a\0b", &hash("a\0b")));
    }
}
