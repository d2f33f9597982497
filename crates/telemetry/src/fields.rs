//! Fields of spans in the log: what only tells OpenTelemetry how to make a span (`otel.*`) is not
//! for readers.

use std::{error::Error, fmt};

use serde::Serialize;
use serde_json::{Map, Value};
use tracing::{
    field::{Field, Visit},
    span::Record,
};
use tracing_subscriber::{
    field::RecordFields,
    fmt::{FormatFields, FormattedFields, format::Writer},
};

/// Whether a field is for OpenTelemetry alone.
pub(crate) fn is_hidden(name: &str) -> bool {
    name.starts_with("otel.")
}

/// The fields of a span as a JSON object. Every request pays for them, logged or not: nothing is parsed
/// that was written before.
pub(crate) struct JsonFields;

/// Names with their values, without the braces.
#[derive(Default)]
struct Pairs<'a> {
    text: Vec<u8>,
    /// The object that they are added to.
    known: &'a str,
    /// One of them is in it already.
    again: bool,
}

impl Pairs<'_> {
    fn put<V: Serialize + ?Sized>(&mut self, field: &Field, value: &V) {
        if is_hidden(field.name()) {
            return;
        }
        let name = field.name();
        let name = name.strip_prefix("r#").unwrap_or(name);
        if !self.text.is_empty() {
            self.text.push(b',');
        }
        let before = self.text.len();
        for part in ["\"", name, "\":"] {
            self.text.extend_from_slice(part.as_bytes());
        }
        // A quote within a value is escaped: this is a name wherever it is found.
        let name = str::from_utf8(&self.text[before..]).unwrap_or_default();
        self.again |= self.known.contains(name);
        let whole = self.text.len();
        if serde_json::to_writer(&mut self.text, value).is_err() {
            self.text.truncate(whole);
            self.text.extend_from_slice(b"null");
        }
    }

    fn text(&self) -> Result<&str, fmt::Error> {
        str::from_utf8(&self.text).map_err(|_| fmt::Error)
    }
}

impl Visit for Pairs<'_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, &value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, &value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, &value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, &value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.put(field, &value.to_string());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, &format!("{value:?}"));
    }
}

impl<'a> FormatFields<'a> for JsonFields {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'a>, fields: R) -> fmt::Result {
        let mut pairs = Pairs::default();
        fields.record(&mut pairs);
        writer.write_char('{')?;
        writer.write_str(pairs.text()?)?;
        writer.write_char('}')
    }

    fn add_fields(
        &self,
        current: &'a mut FormattedFields<Self>,
        fields: &Record<'_>,
    ) -> fmt::Result {
        let mut pairs = Pairs {
            known: &current.fields,
            ..Pairs::default()
        };
        fields.record(&mut pairs);
        let (again, added) = (pairs.again, pairs.text()?.to_owned());
        let known = &mut current.fields;
        if again {
            *known = merged(known, &format!("{{{added}}}"))?;
        } else if !added.is_empty() {
            known.pop();
            let separator = match known.as_str() {
                "" => "{",
                "{" => "",
                _ => ",",
            };
            known.extend([separator, &added, "}"]);
        }
        Ok(())
    }
}

/// What is recorded again is as it was recorded last.
fn merged(known: &str, added: &str) -> Result<String, fmt::Error> {
    let read = |text| serde_json::from_str::<Map<String, Value>>(text).map_err(|_| fmt::Error);
    let mut all = read(known)?;
    all.extend(read(added)?);
    serde_json::to_string(&all).map_err(|_| fmt::Error)
}
