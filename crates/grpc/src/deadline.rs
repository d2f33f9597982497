//! `grpc-timeout` (gRPC over HTTP/2, "Timeout"): at most 8 digits and a unit.

use std::time::Duration;

use axum::http::HeaderMap;

/// The header.
pub(crate) const HEADER: &str = "grpc-timeout";
/// Most digits of the value.
const MAX_DIGITS: usize = 8;

/// A `grpc-timeout` that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

/// How long the caller waits, if it says so.
pub(crate) fn asked(headers: &HeaderMap) -> Result<Option<Duration>, Malformed> {
    let Some(value) = headers.get(HEADER) else {
        return Ok(None);
    };
    let text = value.to_str().map_err(|_| Malformed)?;
    parse(text).map(Some).ok_or(Malformed)
}

fn parse(text: &str) -> Option<Duration> {
    let (unit, digits) = text.as_bytes().split_last()?;
    if digits.is_empty() || digits.len() > MAX_DIGITS || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let amount = digits
        .iter()
        .fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
    match unit {
        b'H' => Some(Duration::from_hours(amount)),
        b'M' => Some(Duration::from_mins(amount)),
        b'S' => Some(Duration::from_secs(amount)),
        b'm' => Some(Duration::from_millis(amount)),
        b'u' => Some(Duration::from_micros(amount)),
        b'n' => Some(Duration::from_nanos(amount)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_is_read() {
        for (text, expected) in [
            ("1H", Duration::from_hours(1)),
            ("2M", Duration::from_mins(2)),
            ("3S", Duration::from_secs(3)),
            ("400m", Duration::from_millis(400)),
            ("5u", Duration::from_micros(5)),
            ("99999999n", Duration::from_nanos(99_999_999)),
            ("0S", Duration::ZERO),
            ("99999999H", Duration::from_hours(99_999_999)),
        ] {
            assert_eq!(parse(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_the_specification_does_not_allow_is_malformed() {
        for bad in [
            "",
            "S",
            "1",
            "1s",
            "+1S",
            "-1S",
            "1.5S",
            "123456789S",
            "1 S",
            "S1",
            "1é",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
