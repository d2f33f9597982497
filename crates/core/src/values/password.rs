//! Passwords and what is stored of them.

use std::{cmp::Ordering, fmt};

use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

use super::Email;
use crate::failure::FieldError;

/// Longest password in bytes as received; a longer one is refused before any work is done on it.
const MAX_BYTES: usize = 1024;
/// One password a line, NFKC and lower case, sorted by bytes. See `assets/README.md`.
const COMMON: &str = include_str!("../../assets/common-passwords.txt");
/// The product's name is no password.
const PRODUCT: &str = "sso";

/// A password as somebody typed it at a login: only its length is checked.
#[derive(Clone)]
pub struct Password {
    typed: Zeroizing<String>,
    normalised: Zeroizing<String>,
}

impl Password {
    /// Takes at most 1024 bytes, any characters, untrimmed. `field` names it in the error.
    pub fn parse(field: &'static str, text: &str) -> Result<Self, FieldError> {
        if text.len() > MAX_BYTES {
            return Err(FieldError::new(
                field,
                "too_long",
                "password must be at most 1024 bytes long",
            ));
        }
        Ok(Self {
            typed: Zeroizing::new(text.to_owned()),
            normalised: Zeroizing::new(text.nfkc().collect()),
        })
    }

    /// The bytes as received: what an imported bcrypt hash was made of.
    pub fn typed(&self) -> &str {
        &self.typed
    }

    /// NFKC (UAX #15): what new hashes are made of, so that one password typed on two keyboards is
    /// one password (NIST SP 800-63B, 5.1.1.2).
    pub fn normalised(&self) -> &str {
        &self.normalised
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

/// Which new passwords are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PasswordPolicy {
    /// Fewest code points after NFKC.
    pub min_length: usize,
    /// Whether the 10,000 commonest passwords are refused.
    pub refuse_common: bool,
}

/// A password that the policy takes for an account.
#[derive(Debug, Clone)]
pub struct NewPassword(Password);

impl NewPassword {
    /// [Parses](Password::parse) and [checks](Self::check).
    pub fn parse<'a>(
        field: &'static str,
        text: &str,
        email: impl Into<Option<&'a Email>>,
        policy: PasswordPolicy,
    ) -> Result<Self, FieldError> {
        Self::check(field, Password::parse(field, text)?, email, policy)
    }

    /// Checks `password` for the account of `email`; the reason is in the error. Without an address
    /// (it is bad itself, and named beside the password) the other rules still hold.
    pub fn check<'a>(
        field: &'static str,
        password: Password,
        email: impl Into<Option<&'a Email>>,
        policy: PasswordPolicy,
    ) -> Result<Self, FieldError> {
        let weak = |why: String| Err(FieldError::new(field, "weak_password", why));
        let lower = Zeroizing::new(password.normalised().to_lowercase());
        if password.normalised().chars().count() < policy.min_length {
            return weak(format!(
                "password must have at least {} characters",
                policy.min_length
            ));
        }
        let email: Option<&Email> = email.into();
        if email.is_some_and(|email| *lower == *email.canonical()) {
            return weak("password must not be the e-mail address".to_owned());
        }
        if *lower == *PRODUCT {
            return weak("password must not be the name of this service".to_owned());
        }
        if policy.refuse_common && is_common(&lower) {
            return weak("password is one of the 10,000 commonest".to_owned());
        }
        Ok(Self(password))
    }

    /// The password.
    pub fn password(&self) -> &Password {
        &self.0
    }
}

/// A stored hash in PHC (argon2id) or modular crypt (bcrypt) format. Not printed.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

impl PasswordHash {
    /// Wraps what a hasher made or a store kept.
    pub fn new(encoded: impl Into<String>) -> Self {
        Self(encoded.into())
    }

    /// The encoded form.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(..)")
    }
}

/// Binary search by lines: the list lies in the executable and costs no memory of its own.
fn is_common(lower: &str) -> bool {
    let (mut low, mut high) = (0, COMMON.len());
    while low < high {
        let middle = usize::midpoint(low, high);
        let start = COMMON.as_bytes()[..middle]
            .iter()
            .rposition(|b| *b == b'\n')
            .map_or(0, |at| at + 1);
        let line = COMMON[start..].split('\n').next().unwrap_or_default();
        match line.as_bytes().cmp(lower.as_bytes()) {
            Ordering::Equal => return true,
            Ordering::Less => low = start + line.len() + 1,
            Ordering::Greater => high = start,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: PasswordPolicy = PasswordPolicy {
        min_length: 8,
        refuse_common: true,
    };

    fn check(text: &str) -> Result<NewPassword, FieldError> {
        let email = Email::parse("Alice@Example.com").unwrap();
        NewPassword::check(
            "password",
            Password::parse("password", text)?,
            &email,
            POLICY,
        )
    }

    #[test]
    fn every_line_of_the_list_is_found_and_nothing_else() {
        let lines: Vec<_> = COMMON.lines().collect();
        assert!(lines.is_sorted_by_key(|line| line.as_bytes()));
        assert!(lines.len() > 9_900);
        assert!(lines.iter().all(|line| is_common(line)));
        for other in ["", "\n", "correct horse", "zzzzzzzzzzzzzzzz", "!"] {
            assert_eq!(is_common(other), lines.contains(&other), "{other:?}");
        }
    }

    #[test]
    fn weak_passwords_are_refused_with_the_reason() {
        for weak in [
            "",
            "short",
            "Password",
            "PASSWORD1",
            "1234567890",
            "alice@example.COM",
        ] {
            assert_eq!(check(weak).unwrap_err().code, "weak_password", "{weak}");
        }
        assert!(check("correct horse battery staple").is_ok());
        assert!(check(" \u{0} pad \t").is_ok());
    }

    #[test]
    fn length_counts_code_points_after_nfkc() {
        assert!(check("жжжжжжжж").is_ok());
        // U+FB03 becomes three letters.
        assert!(check("\u{fb03}\u{fb03}\u{fb03}").is_ok());
        assert_eq!(check("жжжжжжж").unwrap_err().code, "weak_password");
    }

    #[test]
    fn a_password_may_have_1024_bytes_and_is_never_truncated() {
        assert!(check(&"xy".repeat(512)).is_ok());
        assert_eq!(check(&"x".repeat(1025)).unwrap_err().code, "too_long");
        assert_eq!(
            format!("{:?}", check("correct horse").unwrap()),
            "NewPassword(Password(..))"
        );
    }
}
