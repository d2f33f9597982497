//! Fields of spans in the log: what only tells OpenTelemetry how to make a span (`otel.*`) is not
//! for readers.

use std::{collections::BTreeMap, error::Error, fmt};

use serde_json::Value;
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

/// The fields of a span as a JSON object.
pub(crate) struct JsonFields;

#[derive(Default)]
struct Object(BTreeMap<String, Value>);

impl Object {
    fn put(&mut self, field: &Field, value: Value) {
        if !is_hidden(field.name()) {
            let name = field.name();
            self.0
                .insert(name.strip_prefix("r#").unwrap_or(name).to_owned(), value);
        }
    }

    fn text(&self) -> Result<String, fmt::Error> {
        serde_json::to_string(&self.0).map_err(|_| fmt::Error)
    }
}

impl Visit for Object {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.into());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.put(field, value.to_string().into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}").into());
    }
}

impl<'a> FormatFields<'a> for JsonFields {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'a>, fields: R) -> fmt::Result {
        let mut object = Object::default();
        fields.record(&mut object);
        writer.write_str(&object.text()?)
    }

    fn add_fields(
        &self,
        current: &'a mut FormattedFields<Self>,
        fields: &Record<'_>,
    ) -> fmt::Result {
        let mut object = Object::default();
        if !current.fields.is_empty() {
            object.0 = serde_json::from_str(&current.fields).map_err(|_| fmt::Error)?;
        }
        fields.record(&mut object);
        current.fields = object.text()?;
        Ok(())
    }
}
