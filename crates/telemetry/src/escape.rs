//! Characters that could end a record, move a cursor or hide text are written as escapes.

use std::fmt::{self, Write};

/// Whether `c` is a control character (C0, DEL, C1), ends a line for some readers (U+2028, U+2029)
/// or reorders the text around it (the bidirectional controls of UAX #9).
pub(crate) fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{200e}' | '\u{200f}' | '\u{061c}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}')
}

/// Writes text for people: an unsafe character becomes `\n`, `\r`, `\t` or `\u{..}`.
pub(crate) struct Escaping<'a, W>(pub(crate) &'a mut W);

impl<W: Write> Write for Escaping<'_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for part in text.split_inclusive(is_unsafe) {
            let Some(last) = part.chars().next_back().filter(|c| is_unsafe(*c)) else {
                self.0.write_str(part)?;
                continue;
            };
            self.0.write_str(&part[..part.len() - last.len_utf8()])?;
            match last {
                '\n' | '\r' | '\t' => write!(self.0, "{}", last.escape_default())?,
                _ => write!(self.0, "{}", last.escape_unicode())?,
            }
        }
        Ok(())
    }
}

/// Writes what is JSON already: an unsafe character can only stand in a string there, where
/// `\uXXXX` means the same. All of them lie in the basic plane.
pub(crate) fn write_json(out: &mut impl Write, json: &str) -> fmt::Result {
    for part in json.split_inclusive(is_unsafe) {
        match part.chars().next_back().filter(|c| is_unsafe(*c)) {
            None => out.write_str(part)?,
            Some(last) => write!(
                out,
                "{}\\u{:04x}",
                &part[..part.len() - last.len_utf8()],
                u32::from(last)
            )?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unsafe_characters_are_escaped_and_others_are_kept() {
        let mut out = String::new();
        write!(
            Escaping(&mut out),
            "жa\r\n\u{1b}[31m\u{9b}\u{2028}\u{202e}\0\\z"
        )
        .unwrap();
        assert_eq!(out, r"жa\r\n\u{1b}[31m\u{9b}\u{2028}\u{202e}\u{0}\z");
    }

    #[test]
    fn escaped_json_means_the_same() {
        let text = "a\u{7f}\u{85}\u{2029}\u{2067}ж";
        let json = serde_json::to_string(text).unwrap();
        let mut out = String::new();
        write_json(&mut out, &json).unwrap();
        assert_eq!(out, "\"a\\u007f\\u0085\\u2029\\u2067ж\"");
        assert_eq!(serde_json::from_str::<String>(&out).unwrap(), text);
    }
}
