//! How times are written.

use time::{OffsetDateTime, format_description::BorrowedFormatItem, macros::format_description};

const RFC3339: &[BorrowedFormatItem<'_>] = format_description!(
    version = 2,
    "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z"
);

/// RFC 3339 in UTC, always with six digits, so that times sort as text.
pub fn rfc3339(time: OffsetDateTime) -> String {
    let utc = time.to_utc();
    // Formatting a complete time to a String cannot fail.
    utc.format(RFC3339).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn a_time_has_six_digits_and_is_in_utc() {
        let time = datetime!(2026-03-01 14:00:00.5 +2);
        assert_eq!(rfc3339(time), "2026-03-01T12:00:00.500000Z");
    }
}
