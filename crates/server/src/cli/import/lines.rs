//! Lines of any length, read with bounded memory.

use std::io::{self, BufRead, Read};

/// Longest line in bytes; a user needs a few hundred.
pub(super) const MAX_LINE: usize = 64 * 1024;

/// A line, without its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// As it came.
    Text(&'a [u8]),
    /// It is longer than is read.
    TooLong,
}

/// Reads lines one after the other into the same memory.
pub(super) struct Lines<R> {
    reader: R,
    buffer: Vec<u8>,
    number: u64,
    bytes: u64,
}

impl<R: BufRead> Lines<R> {
    pub(super) const fn new(reader: R) -> Self {
        Self {
            reader,
            buffer: Vec::new(),
            number: 0,
            bytes: 0,
        }
    }

    /// Bytes read so far.
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The next line that is not empty, with its number from 1.
    pub(super) fn next(&mut self) -> io::Result<Option<(u64, Line<'_>)>> {
        loop {
            self.buffer.clear();
            let most = MAX_LINE as u64 + 1;
            let read = (&mut self.reader)
                .take(most)
                .read_until(b'\n', &mut self.buffer)?;
            if read == 0 {
                return Ok(None);
            }
            self.number += 1;
            self.bytes += read as u64;
            if !self.buffer.ends_with(b"\n") && self.buffer.len() > MAX_LINE {
                self.bytes += skip_line(&mut self.reader)?;
                return Ok(Some((self.number, Line::TooLong)));
            }
            if trimmed(&self.buffer, self.number).trim_ascii().is_empty() {
                continue;
            }
            return Ok(Some((
                self.number,
                Line::Text(trimmed(&self.buffer, self.number)),
            )));
        }
    }
}

/// Without blanks around it, and without the mark that some programs put at the start of a file. A tab may be
/// the first cell's end in a table.
fn trimmed(line: &[u8], number: u64) -> &[u8] {
    let line = match line.strip_prefix(b"\xef\xbb\xbf") {
        Some(rest) if number == 1 => rest,
        _ => line,
    };
    let is_text = |byte: &u8| !matches!(byte, b' ' | b'\r' | b'\n');
    let start = line.iter().position(is_text).unwrap_or(line.len());
    let end = line
        .iter()
        .rposition(is_text)
        .map_or(start, |last| last + 1);
    &line[start..end]
}

fn skip_line(reader: &mut impl BufRead) -> io::Result<u64> {
    let mut skipped = 0;
    loop {
        let (used, ended) = {
            let available = reader.fill_buf()?;
            match available.iter().position(|byte| *byte == b'\n') {
                Some(at) => (at + 1, true),
                None => (available.len(), available.is_empty()),
            }
        };
        reader.consume(used);
        skipped += used as u64;
        if ended {
            return Ok(skipped);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_numbered_and_empty_ones_skipped() {
        let text = b"\xef\xbb\xbfone\r\n\n  \n\ttwo \nthree";
        let mut lines = Lines::new(&text[..]);
        let mut seen = Vec::new();
        while let Some((number, Line::Text(line))) = lines.next().unwrap() {
            seen.push((number, String::from_utf8(line.to_vec()).unwrap()));
        }
        let expected = [(1, "one"), (4, "\ttwo"), (5, "three")];
        assert_eq!(seen, expected.map(|(n, text)| (n, text.to_owned())));
        assert_eq!(lines.bytes(), text.len() as u64);
    }

    #[test]
    fn a_line_that_is_too_long_is_skipped_in_one_piece() {
        let text = [vec![b'x'; 3 * MAX_LINE], b"\nafter\n".to_vec()].concat();
        let mut lines = Lines::new(&text[..]);
        assert_eq!(lines.next().unwrap(), Some((1, Line::TooLong)));
        assert_eq!(lines.next().unwrap(), Some((2, Line::Text(b"after"))));
        assert_eq!(lines.next().unwrap(), None);
        assert_eq!(lines.bytes(), text.len() as u64);
    }
}
