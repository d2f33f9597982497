//! The Confluent wire format: a zero byte, the schema's id (32 bits, big endian), for Protobuf the
//! indexes that lead to the message within the schema, and the message.
//!
//! The indexes are zigzag varints, their count first; the commonest, `[0]`, is the single byte 0.

/// The value of a record whose message is the schema's first.
pub fn frame(schema: u32, message: &[u8]) -> Vec<u8> {
    let mut value = Vec::with_capacity(6 + message.len());
    value.push(0);
    value.extend_from_slice(&schema.to_be_bytes());
    value.push(0);
    value.extend_from_slice(message);
    value
}

/// What [`frame`] made, or another producer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Framed<'a> {
    /// The id of the schema that it was written by.
    pub schema: u32,
    /// Which message of it: the index among the file's, then among those nested in it, and so on.
    pub path: Vec<usize>,
    /// The message.
    pub message: &'a [u8],
}

/// Deepest nesting that is read.
const MAX_DEPTH: usize = 16;

/// Why a value has no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the value is not in the Confluent wire format")]
pub struct NotFramed;

/// Takes a value apart.
pub fn unframe(value: &[u8]) -> Result<Framed<'_>, NotFramed> {
    let (&[0, a, b, c, d], mut rest) = value.split_first_chunk::<5>().ok_or(NotFramed)? else {
        return Err(NotFramed);
    };
    let count = index(&mut rest)?;
    if count > MAX_DEPTH {
        return Err(NotFramed);
    }
    let mut path = Vec::with_capacity(count.max(1));
    for _ in 0..count {
        path.push(index(&mut rest)?);
    }
    if path.is_empty() {
        path.push(0);
    }
    Ok(Framed {
        schema: u32::from_be_bytes([a, b, c, d]),
        path,
        message: rest,
    })
}

/// A zigzag varint that is not negative.
fn index(rest: &mut &[u8]) -> Result<usize, NotFramed> {
    let mut number = 0_u64;
    for shift in (0..35).step_by(7) {
        let (&byte, tail) = rest.split_first().ok_or(NotFramed)?;
        *rest = tail;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            let negative = number & 1 == 1;
            let number = usize::try_from(number >> 1).map_err(|_| NotFramed)?;
            return if negative { Err(NotFramed) } else { Ok(number) };
        }
    }
    Err(NotFramed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_message_is_the_single_byte_zero() {
        let value = frame(0x0102_0304, b"message");
        assert_eq!(value, b"\0\x01\x02\x03\x04\0message");
        let framed = unframe(&value).unwrap();
        assert_eq!(framed.schema, 0x0102_0304);
        assert_eq!(framed.path, [0]);
        assert_eq!(framed.message, b"message");
    }

    #[test]
    fn a_nested_message_is_found_by_its_indexes() {
        // Two indexes, 1 and 0, in zigzag: 4, 2, 0.
        let framed = unframe(b"\0\0\0\0\x07\x04\x02\0rest").unwrap();
        assert_eq!((framed.schema, &*framed.path), (7, &[1, 0][..]));
        assert_eq!(framed.message, b"rest");
        // An index of two bytes: 100.
        let framed = unframe(b"\0\0\0\0\x07\x02\xc8\x01").unwrap();
        assert_eq!(framed.path, [100]);
    }

    #[test]
    fn what_is_no_frame_is_refused() {
        for value in [
            &b""[..],
            b"\0\0\0\0\x01",
            b"\x01\0\0\0\x01\0",
            // A negative count, a count without its indexes, too deep, a varint without end.
            b"\0\0\0\0\x01\x01",
            b"\0\0\0\0\x01\x04\0",
            b"\0\0\0\0\x01\x7e",
            b"\0\0\0\0\x01\xff\xff\xff\xff\xff\xff\xff\xff",
        ] {
            assert_eq!(unframe(value), Err(NotFramed), "{value:?}");
        }
    }
}
