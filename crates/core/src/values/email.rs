//! E-mail addresses in the syntax of the WHATWG form input.

use std::fmt;

use crate::failure::FieldError;

/// Longest address in bytes (RFC 5321, 4.5.3.1.3, without the angle brackets).
const MAX_BYTES: usize = 254;
/// Longest label of a domain in bytes (RFC 1035, 2.3.4).
const MAX_LABEL: usize = 63;

/// A valid address, kept as it was typed. Two addresses are the same account when their
/// [canonical](Email::canonical) forms are equal.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Email {
    typed: String,
    canonical: String,
}

impl Email {
    /// Parses `text` by the WHATWG form-input syntax (HTML, 4.10.5.1.5): ASCII, at most 254 bytes,
    /// nothing trimmed. Non-ASCII is refused even where NFKC would make it ASCII.
    pub fn parse(text: &str) -> Result<Self, FieldError> {
        if text.len() > MAX_BYTES {
            return Err(FieldError::new(
                "email",
                "too_long",
                "email must be at most 254 bytes long",
            ));
        }
        if !is_valid(text) {
            return Err(FieldError::new(
                "email",
                "invalid_email",
                "email is not a valid address",
            ));
        }
        Ok(Self {
            canonical: text.to_ascii_lowercase(),
            typed: text.to_owned(),
        })
    }

    /// The address as it was typed.
    pub fn as_typed(&self) -> &str {
        &self.typed
    }

    /// The ASCII lower-case form, by which accounts are unique.
    pub fn canonical(&self) -> &str {
        &self.canonical
    }
}

/// Personal data: not printed.
impl fmt::Debug for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Email(..)")
    }
}

fn is_valid(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else {
        return false;
    };
    !local.is_empty() && local.bytes().all(is_atext_or_dot) && domain.split('.').all(is_label)
}

fn is_atext_or_dot(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b".!#$%&'*+/=?^_`{|}~-".contains(&byte)
}

fn is_label(label: &str) -> bool {
    let bytes = label.as_bytes();
    (1..=MAX_LABEL).contains(&bytes.len())
        && bytes
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || *b == b'-')
        && bytes[0] != b'-'
        && bytes[bytes.len() - 1] != b'-'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whatwg_syntax_is_accepted() {
        for good in [
            "a@b",
            "A.b+c@Example.COM",
            "a!#$%&'*+/=?^_`{|}~-@x-y.z",
            "..@a.b",
            "1@1",
        ] {
            assert!(Email::parse(good).is_ok(), "{good}");
        }
    }

    #[test]
    fn what_is_not_in_the_syntax_is_refused() {
        let long_label = format!("a@{}", "x".repeat(64));
        for bad in [
            "",
            "a",
            "@",
            "a@",
            "@b",
            "a@b@c",
            "a b@c",
            " a@b",
            "a@b ",
            "a@b.",
            "a@.b",
            "a@-b",
            "a@b-",
            "a@b_c",
            "é@b",
            "a@ｂ",
            "\u{ff41}@b",
            "a@[127.0.0.1]",
            "\"a\"@b",
            &long_label,
        ] {
            assert_eq!(
                Email::parse(bad).unwrap_err().code,
                "invalid_email",
                "{bad}"
            );
        }
    }

    #[test]
    fn an_address_may_have_254_bytes_and_no_more() {
        let local = "a".repeat(252);
        assert!(Email::parse(&format!("{local}@b")).is_ok());
        assert_eq!(
            Email::parse(&format!("{local}a@b")).unwrap_err().code,
            "too_long"
        );
    }

    #[test]
    fn it_is_kept_as_typed_and_compared_in_lower_case() {
        let email = Email::parse("Alice@Example.com").unwrap();
        assert_eq!(email.as_typed(), "Alice@Example.com");
        assert_eq!(email.canonical(), "alice@example.com");
        assert_eq!(format!("{email:?}"), "Email(..)");
    }
}
