//! One line, in the format that it is written in.

use std::{borrow::Cow, fmt::Write};

use serde_json::Value;
use sso_core::usecases::import::Input;
use time::{UtcOffset, format_description::well_known::Rfc3339};
use zeroize::Zeroizing;

use super::Format;

/// A user as he stands on a line. Absent members are `None`.
#[derive(Default)]
pub(super) struct Record {
    pub(super) id: Option<String>,
    pub(super) email: Option<String>,
    pub(super) password_hash: Option<Zeroizing<String>>,
    pub(super) name: Option<String>,
    pub(super) birthday: Option<String>,
    pub(super) is_admin: bool,
    pub(super) disabled: bool,
    pub(super) created_at: Option<String>,
}

impl Record {
    /// For the use case.
    pub(super) fn input(&self) -> Input<'_> {
        Input {
            id: self.id.as_deref(),
            email: self.email.as_deref(),
            password_hash: self.password_hash.as_ref().map(|hash| hash.as_str()),
            name: self.name.as_deref(),
            birthday: self.birthday.as_deref(),
            is_admin: self.is_admin,
            disabled: self.disabled,
            created_at: self.created_at.as_deref(),
        }
    }
}

/// Why a line is no record. Never repeats a value: it may be a hash.
pub(super) type Bad = Cow<'static, str>;

/// Reads lines of one format.
pub(super) enum Parser {
    Json,
    Csv(Columns),
}

impl Parser {
    /// `header` is the first line of a table.
    pub(super) fn new(format: Format, header: Option<&[u8]>) -> Result<Self, Bad> {
        match format {
            Format::JsonLines => Ok(Self::Json),
            Format::AuthloyaltyCsv => Columns::of(header.unwrap_or_default()).map(Self::Csv),
        }
    }

    /// Reads one line.
    pub(super) fn parse(&self, line: &[u8]) -> Result<Record, Bad> {
        match self {
            Self::Json => json(line),
            Self::Csv(columns) => columns.record(line),
        }
    }
}

fn json(line: &[u8]) -> Result<Record, Bad> {
    let value = sso_ijson::parse(line)
        .map_err(|error| format!("{} (column {})", error.reason, error.column))?;
    let Value::Object(members) = value else {
        return Err("not a JSON object".into());
    };
    let mut record = Record::default();
    for (name, value) in members {
        match name.as_str() {
            "id" => record.id = text("id", value)?,
            "email" => record.email = text("email", value)?,
            "password_hash" => {
                record.password_hash = text("password_hash", value)?.map(Zeroizing::new);
            }
            "name" => record.name = text("name", value)?,
            "birthday" => record.birthday = text("birthday", value)?,
            "created_at" => record.created_at = text("created_at", value)?,
            "is_admin" => record.is_admin = flag("is_admin", &value)?,
            "disabled" => record.disabled = flag("disabled", &value)?,
            // A misspelt member would be lost silently.
            other => {
                let name: String = other
                    .chars()
                    .take(40)
                    .flat_map(char::escape_debug)
                    .collect();
                return Err(format!("unknown member {name}").into());
            }
        }
    }
    Ok(record)
}

fn text(name: &str, value: Value) -> Result<Option<String>, Bad> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text)),
        _ => Err(format!("{name} must be a string").into()),
    }
}

fn flag(name: &str, value: &Value) -> Result<bool, Bad> {
    match value {
        Value::Null => Ok(false),
        Value::Bool(set) => Ok(*set),
        _ => Err(format!("{name} must be true or false").into()),
    }
}

/// Where in a row of the table is what.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Columns {
    delimiter: u8,
    id: Option<usize>,
    email: usize,
    password_hash: usize,
    name: Option<usize>,
    birthday: Option<usize>,
    is_admin: Option<usize>,
    disabled: Option<usize>,
    created_at: Option<usize>,
}

impl Columns {
    /// Reads the header, whatever the order and the spelling of the names. Columns that are not
    /// known are left out.
    fn of(header: &[u8]) -> Result<Self, Bad> {
        let parts = |byte| header.split(|b| *b == byte).count();
        let delimiter = [b',', b';', b'\t']
            .into_iter()
            .max_by_key(|byte| (parts(*byte), *byte == b','))
            .unwrap_or(b',');
        let names: Vec<String> = fields(header, delimiter)?
            .iter()
            .map(|name| {
                let letters = name.chars().filter(char::is_ascii_alphanumeric);
                letters.collect::<String>().to_ascii_lowercase()
            })
            .collect();
        let find = |known: &[&str]| names.iter().position(|name| known.contains(&name.as_str()));
        let needed = |known: &[&str]| {
            find(known).ok_or_else(|| {
                Bad::from(format!("the first line must name the column {}", known[0]))
            })
        };
        Ok(Self {
            delimiter,
            id: find(&["uuid", "id", "userid"]),
            email: needed(&["email", "mail"])?,
            password_hash: needed(&["passhash", "passwordhash", "hash"])?,
            name: find(&["name", "fullname"]),
            birthday: find(&["birthday", "birthdate"]),
            is_admin: find(&["isadmin", "admin"]),
            disabled: find(&["disabled"]),
            created_at: find(&["created", "createdat"]),
        })
    }

    fn record(&self, line: &[u8]) -> Result<Record, Bad> {
        let row = fields(line, self.delimiter)?;
        let of = |at: Option<usize>| {
            let text = at.and_then(|at| row.get(at)).map(String::as_str);
            // How PostgreSQL and others write that there is nothing.
            text.filter(|text| !matches!(*text, "" | "\\N" | "NULL" | "null"))
        };
        let owned = |at| of(at).map(str::to_owned);
        let hash = of(Some(self.password_hash));
        Ok(Record {
            // Of a table that has numbers for ids none is kept.
            id: owned(self.id).filter(|id| !id.bytes().all(|b| b.is_ascii_digit())),
            email: owned(Some(self.email)),
            password_hash: hash.map(bytea).transpose()?.map(Zeroizing::new),
            name: owned(self.name),
            birthday: owned(self.birthday),
            is_admin: truth("is_admin", of(self.is_admin))?,
            disabled: truth("disabled", of(self.disabled))?,
            created_at: of(self.created_at).map(timestamp),
        })
    }
}

/// The fields of one line. A field with a line break in it is not read: no column of that table
/// has one.
fn fields(line: &[u8], delimiter: u8) -> Result<Vec<String>, Bad> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .delimiter(delimiter)
        .buffer_capacity(512)
        .from_reader(line);
    let mut row = csv::StringRecord::new();
    match reader.read_record(&mut row) {
        Ok(true) => Ok(row.iter().map(|field| field.trim().to_owned()).collect()),
        Ok(false) => Ok(Vec::new()),
        Err(_) => Err("not a line of a table in UTF-8".into()),
    }
}

fn truth(name: &str, text: Option<&str>) -> Result<bool, Bad> {
    match text.unwrap_or("f").to_ascii_lowercase().as_str() {
        "t" | "true" | "1" | "yes" => Ok(true),
        "f" | "false" | "0" | "no" => Ok(false),
        _ => Err(format!("{name} must be true or false").into()),
    }
}

/// A text that PostgreSQL keeps as bytes is dumped as `\x` and hexadecimal digits.
fn bytea(text: &str) -> Result<String, Bad> {
    const BAD: Bad = Cow::Borrowed("the hash is not text in hexadecimal digits");
    let Some(digits) = text.strip_prefix("\\x") else {
        return Ok(text.to_owned());
    };
    if !digits.len().is_multiple_of(2) || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(BAD);
    }
    let bytes: Result<Vec<u8>, _> = (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16))
        .collect();
    String::from_utf8(bytes.map_err(|_| BAD)?).map_err(|_| BAD)
}

/// `2024-08-01 10:20:30.123456`, with or without an offset, as RFC 3339; without one it is UTC.
/// What is not of this shape is left for the use case to refuse.
fn timestamp(text: &str) -> String {
    let mut time = text.replacen(' ', "T", 1);
    let offset = time.get(19..).and_then(|rest| rest.find(['+', '-', 'Z']));
    match offset.map(|at| time.len() - 19 - at) {
        None => time.push('Z'),
        // `+00` and `+0000`
        Some(3) => time.push_str(":00"),
        Some(5) if time.is_char_boundary(time.len() - 2) => time.insert(time.len() - 2, ':'),
        Some(_) => {}
    }
    if let Ok(moment) = time::OffsetDateTime::parse(&time, &Rfc3339) {
        let utc = moment.to_offset(UtcOffset::UTC);
        time.clear();
        let _ = write!(time, "{}", utc.format(&Rfc3339).unwrap_or_default());
    }
    time
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HASH: &str = "$2a$10$thBhIpjEmH22GNr9dxhbbeMwnG16sIATjtNR6vahFUhy7wf0r58NC";

    fn table(header: &str, line: &str) -> Result<Record, Bad> {
        Parser::new(Format::AuthloyaltyCsv, Some(header.as_bytes()))?.parse(line.as_bytes())
    }

    #[test]
    fn a_row_of_the_seeds_table_is_read_with_its_bytes_and_times() {
        let header = "uuid,email,pass_hash,is_admin,created,modified,message_status";
        let mut hex = String::from("\\x");
        for byte in HASH.bytes() {
            write!(hex, "{byte:02x}").unwrap();
        }
        for hash in [HASH, &hex] {
            let line = format!(
                "0197f2a4-8a3b-7c1e-9f60-2d7f3f1c5b11,admin@test.com,{hash},t,\
                 2024-08-01 10:20:30.5,2024-08-01 10:20:30.5,successful"
            );
            let record = table(header, &line).unwrap();
            assert_eq!(record.email.as_deref(), Some("admin@test.com"));
            assert_eq!(record.input().password_hash, Some(HASH));
            assert!(record.is_admin && !record.disabled);
            assert_eq!(record.created_at.as_deref(), Some("2024-08-01T10:20:30.5Z"));
            assert!(record.id.is_some());
        }
    }

    #[test]
    fn columns_are_found_by_name_in_any_order_and_spelling() {
        let record = table("Pass-Hash;E_Mail;ID", &format!("{HASH};a@b;17")).unwrap();
        assert_eq!(record.email.as_deref(), Some("a@b"));
        assert_eq!(record.id, None);
        assert!(!record.is_admin);
        let Err(missing) = table("email,name", "a@b,c") else {
            panic!("it was read");
        };
        assert!(missing.contains("passhash"), "{missing}");
    }

    #[test]
    fn times_of_a_dump_become_times_of_the_internet() {
        for (written, read) in [
            ("2024-08-01 10:20:30", "2024-08-01T10:20:30Z"),
            ("2024-08-01 10:20:30+02", "2024-08-01T08:20:30Z"),
            ("2024-08-01 10:20:30.25+0530", "2024-08-01T04:50:30.25Z"),
            ("2024-08-01T10:20:30-01:00", "2024-08-01T11:20:30Z"),
        ] {
            assert_eq!(timestamp(written), read);
        }
        assert_eq!(timestamp("soon"), "soonZ");
        // Five bytes from the sign, and two from the end is in the middle of a letter.
        let letters = "2024-08-01T10:20:30+a\u{e9}b";
        assert_eq!(timestamp(letters), letters);
    }

    #[test]
    fn what_is_wrong_with_a_line_is_said_without_its_values() {
        let secret = "$2a$10$secret";
        for line in [
            format!("{{\"password_hash\":\"{secret}\""),
            format!("{{\"password_hash\":[\"{secret}\"]}}"),
            format!("\"{secret}\""),
            format!("{{\"is_admin\":\"{secret}\"}}"),
            "{\"hash\\u001b[31m\":1}".to_owned(),
            format!("{{\"email\":\"a@b\",\"email\":\"{secret}\"}}"),
        ] {
            let Err(bad) = json(line.as_bytes()) else {
                panic!("{line} was read");
            };
            assert!(!bad.contains("secret") && !bad.contains('\u{1b}'), "{bad}");
        }
        for line in [
            format!("a@b,\\x{secret}"),
            format!("a@b,\\x00ff00,{secret}"),
        ] {
            let Err(bad) = table("email,pass_hash,is_admin", &line) else {
                panic!("{line} was read");
            };
            assert!(!bad.contains("secret"), "{bad}");
        }
    }

    /// Of two values one would be taken, and nobody would know which.
    #[test]
    fn a_member_that_stands_twice_is_refused() {
        for line in [
            r#"{"email":"a@b","is_admin":false,"is_admin":true}"#,
            r#"{"email":"a@b","\u0065mail":"c@d"}"#,
        ] {
            let Err(bad) = json(line.as_bytes()) else {
                panic!("{line} was read");
            };
            assert!(bad.starts_with("duplicate member name"), "{bad}");
        }
        assert!(json(br#"{"email":"a@b","is_admin":true}"#).is_ok());
    }

    /// Lines of both formats, spoilt anywhere; each value is recognisable.
    fn spoilt(good: &'static str) -> impl Strategy<Value = Vec<u8>> {
        let at = any::<prop::sample::Index>();
        let changed = (at, any::<u8>()).prop_map(move |(at, byte)| {
            let mut line = good.as_bytes().to_vec();
            let at = at.index(line.len());
            line[at] = byte;
            line
        });
        prop_oneof![changed, prop::collection::vec(any::<u8>(), 0..200)]
    }

    proptest! {
        #[test]
        fn whatever_a_line_is_no_value_is_in_what_is_said(
            json in spoilt(r#"{"email":"secret-1@x","password_hash":"secret-2","name":"secret-3"}"#),
            row in spoilt("1,secret-1@x,secret-2,\\x24326124,false,2020-01-01 00:00:00+00"),
        ) {
            let json = Parser::Json.parse(&json);
            let header = b"id,email,full_name,pass_hash,is_admin,created_at";
            let row = Parser::new(Format::AuthloyaltyCsv, Some(header)).unwrap().parse(&row);
            for bad in [json.err(), row.err()].into_iter().flatten() {
                prop_assert!(!bad.contains("secret-"), "{bad}");
                prop_assert!(!bad.contains("24326124"), "{bad}");
            }
        }

        #[test]
        fn whatever_a_table_is_headed_by_is_read_or_refused(header in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = Parser::new(Format::AuthloyaltyCsv, Some(&header));
        }
    }
}
