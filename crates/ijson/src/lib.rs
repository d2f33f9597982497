//! A strict reader of I-JSON (RFC 7493), for everything that comes from outside: request bodies and
//! the parts of tokens.
//!
//! `serde_json` alone lets the last of several equal member names win and does not look into
//! strings that nobody reads. Two readers of the same text may then see different things, which is
//! how checks are walked around. Here each text has one meaning or none.
//!
//! One rule of the RFC is left out: noncharacters such as U+FFFE are read, since a password may
//! consist of any characters.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Arrays and objects may be nested this deep; a bare scalar has depth 0.
pub const MAX_DEPTH: usize = 32;

const BOM: &[u8] = b"\xEF\xBB\xBF";

/// Why a text is not I-JSON, and where. Nothing of the text itself is in it: the text may hold a
/// password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{reason} at line {line} column {column}")]
pub struct Error {
    /// What is wrong.
    pub reason: Reason,
    /// Line, from 1.
    pub line: usize,
    /// Column in bytes, a hint for a person.
    pub column: usize,
}

/// What is wrong with a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// Nothing but white space.
    #[error("the JSON text is empty")]
    Empty,
    /// A byte order mark (RFC 8259, section 8.1).
    #[error("a byte order mark is not allowed")]
    ByteOrderMark,
    /// Bytes that are not UTF-8 (RFC 7493, section 2.1).
    #[error("invalid UTF-8")]
    InvalidUtf8,
    /// The same member name twice in one object (RFC 7493, section 2.3).
    #[error("duplicate member name")]
    DuplicateMember,
    /// Nested deeper than [`MAX_DEPTH`].
    #[error("nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
    /// The text ends too early.
    #[error("unexpected end of the JSON text")]
    Incomplete,
    /// Not the grammar of JSON: also NaN, lone surrogates, numbers out of range, and anything after
    /// the value.
    #[error("invalid JSON")]
    Syntax,
}

/// Reads one JSON value that is the whole of `bytes`, white space around it aside.
///
/// Numbers that fit neither `i64` nor `u64` become `f64` (RFC 7493, section 2.2). The number of
/// bytes is for the caller to bound; depth is bounded here by [`MAX_DEPTH`].
pub fn parse(bytes: &[u8]) -> Result<Value, Error> {
    let text = as_text(bytes)?;
    let fault = Cell::new(None);
    let mut reader = serde_json::Deserializer::from_str(text);
    let node = Node {
        depth: 0,
        fault: &fault,
    };
    node.deserialize(&mut reader)
        .and_then(|value| reader.end().map(|()| value))
        .map_err(|error| Error {
            reason: fault.get().unwrap_or_else(|| reason_of(&error)),
            line: error.line(),
            column: error.column(),
        })
}

/// The whole input is checked for UTF-8 first, so that no string escapes by not being read.
fn as_text(bytes: &[u8]) -> Result<&str, Error> {
    let at = |reason, offset| {
        let (line, column) = position(bytes, offset);
        Error {
            reason,
            line,
            column,
        }
    };
    if bytes.starts_with(BOM) {
        return Err(at(Reason::ByteOrderMark, 0));
    }
    let text =
        std::str::from_utf8(bytes).map_err(|error| at(Reason::InvalidUtf8, error.valid_up_to()))?;
    if text
        .bytes()
        .all(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'))
    {
        return Err(at(Reason::Empty, bytes.len()));
    }
    Ok(text)
}

fn position(bytes: &[u8], offset: usize) -> (usize, usize) {
    let before = bytes.get(..offset).unwrap_or(bytes);
    let line = before.split(|&byte| byte == b'\n').count();
    let column = before
        .rsplit(|&byte| byte == b'\n')
        .next()
        .map_or(0, <[u8]>::len);
    (line, column + 1)
}

fn reason_of(error: &serde_json::Error) -> Reason {
    if error.is_eof() {
        Reason::Incomplete
    } else {
        Reason::Syntax
    }
}

/// One value at a depth. What we find wrong ourselves goes into `fault`, since serde's errors carry
/// text only.
#[derive(Clone, Copy)]
struct Node<'a> {
    depth: usize,
    fault: &'a Cell<Option<Reason>>,
}

impl Node<'_> {
    fn fail<E: serde::de::Error>(self, reason: Reason) -> E {
        self.fault.set(Some(reason));
        E::custom(reason)
    }

    fn inner<E: serde::de::Error>(self) -> Result<Self, E> {
        if self.depth == MAX_DEPTH {
            return Err(self.fail(Reason::TooDeep));
        }
        Ok(Self {
            depth: self.depth + 1,
            ..self
        })
    }
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value)
            .map(Value::Number)
            .ok_or_else(|| self.fail(Reason::Syntax))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let inner = self.inner()?;
        let mut array = Vec::new();
        while let Some(item) = items.next_element_seed(inner)? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let inner = self.inner()?;
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            if object.contains_key(&name) {
                return Err(self.fail(Reason::DuplicateMember));
            }
            let value = members.next_value_seed(inner)?;
            object.insert(name, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn reason(text: impl AsRef<[u8]>) -> Reason {
        parse(text.as_ref()).expect_err("must be refused").reason
    }

    #[test]
    fn every_kind_of_value_is_read_as_it_is() {
        let text = br#" {"a":[1,-2,3.5,true,false,null,"\u00e9\ud83d\ude00"],
            "b":{"a":18446744073709551615}} "#;
        let expected = json!({
            "a": [1, -2, 3.5, true, false, null, "\u{e9}\u{1f600}"],
            "b": {"a": u64::MAX},
        });
        assert_eq!(parse(text), Ok(expected));
        assert_eq!(parse(b"7"), Ok(json!(7)));
    }

    #[test]
    fn an_empty_text_is_refused() {
        assert_eq!(reason(""), Reason::Empty);
        assert_eq!(reason(" \r\n\t"), Reason::Empty);
    }

    #[test]
    fn a_byte_order_mark_is_refused() {
        assert_eq!(reason("\u{feff}{}"), Reason::ByteOrderMark);
    }

    #[test]
    fn invalid_utf8_is_refused_wherever_it_stands() {
        assert_eq!(reason(b"{\"a\":\"\xff\"}"), Reason::InvalidUtf8);
        assert_eq!(reason(b"{\"\xc0\xaf\":1}"), Reason::InvalidUtf8);
        // A surrogate in UTF-8 dress (CESU-8).
        assert_eq!(reason(b"[\"\xed\xa0\x80\"]"), Reason::InvalidUtf8);
        assert_eq!(reason(b"{}\xff"), Reason::InvalidUtf8);
    }

    #[test]
    fn lone_surrogates_are_refused_in_names_and_values() {
        for text in [
            r#"["\ud800"]"#,
            r#"["\udc00"]"#,
            r#"["\ud800\u0041"]"#,
            r#"{"\udfff":1}"#,
            r#"["\ud800x"]"#,
        ] {
            assert_eq!(reason(text), Reason::Syntax, "{text}");
        }
    }

    #[test]
    fn what_is_not_json_is_refused() {
        for text in [
            "NaN",
            "[NaN]",
            "Infinity",
            "-Infinity",
            "1e999",
            "01",
            "+1",
            ".5",
            "'a'",
            "{a:1}",
            "[1,]",
            "{\"a\":1,}",
            "{} {}",
            "{}x",
            "[1]]",
            "\"\u{0}\"",
            "\"a\tb\"",
            "/**/1",
            "nul1",
            "\u{a0}1",
        ] {
            assert_eq!(reason(text), Reason::Syntax, "{text:?}");
        }
    }

    #[test]
    fn a_text_that_stops_early_is_incomplete() {
        for text in ["{", "[1", "\"a", "{\"a\"", "{\"a\":", "tru", "-", "1."] {
            assert_eq!(reason(text), Reason::Incomplete, "{text:?}");
        }
    }

    #[test]
    fn duplicate_members_are_refused_at_any_depth_and_spelling() {
        for text in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"b":2,"\u0061":3}"#,
            r#"[[{"x":{"b":null,"b":null}}]]"#,
            r#"{"":1,"":2}"#,
        ] {
            assert_eq!(reason(text), Reason::DuplicateMember, "{text}");
        }
        assert!(parse(br#"{"a":{"a":1},"A":1}"#).is_ok());
    }

    #[test]
    fn thirty_two_levels_are_read_and_thirty_three_are_not() {
        let arrays = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        let objects = |depth: usize| "{\"a\":".repeat(depth) + "1" + &"}".repeat(depth);
        assert!(parse(arrays(MAX_DEPTH).as_bytes()).is_ok());
        assert!(parse(objects(MAX_DEPTH).as_bytes()).is_ok());
        assert_eq!(reason(arrays(MAX_DEPTH + 1)), Reason::TooDeep);
        assert_eq!(reason(objects(MAX_DEPTH + 1)), Reason::TooDeep);
    }

    #[test]
    fn a_hundred_thousand_levels_are_refused_at_the_thirty_third() {
        let error = parse("[".repeat(100_000).as_bytes()).expect_err("too deep");
        assert_eq!(error.reason, Reason::TooDeep);
        assert!(error.column < 40, "read on to column {}", error.column);
        assert_eq!(reason("{\"a\":".repeat(100_000)), Reason::TooDeep);
    }

    #[test]
    fn an_error_tells_the_place_and_nothing_of_the_text() {
        let error = parse(b"{\n\"password\":\"hunter2\",\n\"password\":1}").expect_err("duplicate");
        assert_eq!(error.line, 3);
        assert_eq!(
            error.to_string(),
            "duplicate member name at line 3 column 10"
        );
        let error = parse(b"{\"a\":\n\"hunter2\xff\"}").expect_err("not UTF-8");
        assert_eq!(error.to_string(), "invalid UTF-8 at line 2 column 9");
        for text in [
            r#"{"hunter2":hunter2}"#,
            r#"["hunter2" "hunter2"]"#,
            r#"{"hunter2":1,"hunter2":2}"#,
        ] {
            let error = parse(text.as_bytes()).expect_err("bad");
            assert!(!format!("{error} {error:?}").contains("hunter2"));
        }
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(8, 64, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map(any::<String>(), inner, 0..6)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_back(value in any_value()) {
            prop_assert_eq!(parse(value.to_string().as_bytes()), Ok(value));
        }

        #[test]
        fn it_accepts_nothing_that_serde_json_refuses(
            text in "[\\[\\]{}:,\"a\\\\ud8cf0-9eE+. \n]{0,24}",
        ) {
            if let Ok(value) = parse(text.as_bytes()) {
                prop_assert_eq!(serde_json::from_str::<Value>(&text).ok(), Some(value));
            }
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = parse(&bytes);
        }
    }
}
