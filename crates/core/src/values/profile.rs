//! What a user may tell of himself.

use std::fmt;

use time::{Date, OffsetDateTime, macros::date, macros::format_description};

use crate::failure::FieldError;

/// A name: 1 to 100 characters without control characters. Personal data: not printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Name(String);

impl Name {
    /// Parses a name; nothing is trimmed.
    pub fn parse(text: &str) -> Result<Self, FieldError> {
        let characters = text.chars().count();
        if characters > 100 {
            return Err(FieldError::new(
                "name",
                "too_long",
                "name must be at most 100 characters long",
            ));
        }
        if characters == 0 || text.chars().any(char::is_control) {
            return Err(FieldError::new(
                "name",
                "invalid_name",
                "name must have no control characters",
            ));
        }
        Ok(Self(text.to_owned()))
    }

    /// The name as it was typed.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Name(..)")
    }
}

/// A day of birth from 1900-01-01 to today. Personal data: not printed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Birthday(Date);

impl Birthday {
    /// Parses a real day written `YYYY-MM-DD` that is not after the day of `now` (UTC).
    pub fn parse(text: &str, now: OffsetDateTime) -> Result<Self, FieldError> {
        let bad = |why| FieldError::new("birthday", "invalid_birthday", why);
        let shape = text.len() == 10 && text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
        let day = shape
            .then(|| Date::parse(text, format_description!("[year]-[month]-[day]")).ok())
            .flatten()
            .ok_or_else(|| bad("birthday must be a day written YYYY-MM-DD"))?;
        if day < date!(1900 - 01 - 01) || day > now.date() {
            return Err(bad("birthday must lie between 1900-01-01 and today"));
        }
        Ok(Self(day))
    }

    /// The day that a store kept: it was valid when it was written.
    pub const fn from_date(day: Date) -> Self {
        Self(day)
    }

    /// The day.
    pub const fn date(self) -> Date {
        self.0
    }
}

/// `YYYY-MM-DD`.
impl fmt::Display for Birthday {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:04}-{:02}-{:02}",
            self.0.year(),
            u8::from(self.0.month()),
            self.0.day()
        )
    }
}

impl fmt::Debug for Birthday {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Birthday(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn a_name_has_1_to_100_characters_and_no_control_characters() {
        assert!(Name::parse("Ðóra 名前").is_ok());
        assert!(Name::parse(&"ж".repeat(100)).is_ok());
        assert_eq!(Name::parse(&"ж".repeat(101)).unwrap_err().code, "too_long");
        for bad in ["", "a\nb", "\u{85}", "a\u{0}"] {
            assert_eq!(
                Name::parse(bad).unwrap_err().code,
                "invalid_name",
                "{bad:?}"
            );
        }
    }

    #[test]
    fn a_birthday_is_a_real_day_from_1900_to_today() {
        let now = datetime!(2026-03-01 12:00 UTC);
        for good in ["1900-01-01", "2024-02-29", "2026-03-01"] {
            assert_eq!(Birthday::parse(good, now).unwrap().to_string(), good);
        }
        for bad in [
            "1899-12-31",
            "2026-03-02",
            "2023-02-29",
            "2023-2-01",
            "+023-01-01",
            "01-01-2000",
            "2000-01-01T00",
            "2000/01/01",
            " 2000-01-1",
            "",
        ] {
            assert_eq!(
                Birthday::parse(bad, now).unwrap_err().code,
                "invalid_birthday",
                "{bad}"
            );
        }
    }
}
