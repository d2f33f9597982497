//! Durations as `15m`, `10s`, `500ms`; a serde `with` module.

use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serializer, de};

/// Marks a duration in the JSON schema.
pub const FORMAT: &str = "time-span";

/// Describes a duration in the JSON schema.
pub struct Text;

impl JsonSchema for Text {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "TimeSpan".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "format": FORMAT})
    }
}

/// Reads a duration; a unit is needed.
pub fn parse(text: &str) -> Option<Duration> {
    humantime::parse_duration(text).ok()
}

/// In the largest unit that leaves no rest.
pub fn show(duration: Duration) -> String {
    const UNITS: [(u128, &str); 5] = [
        (86_400_000, "d"),
        (3_600_000, "h"),
        (60_000, "m"),
        (1_000, "s"),
        (1, "ms"),
    ];
    if duration.is_zero() {
        return "0s".to_owned();
    }
    let exact = duration.subsec_nanos().is_multiple_of(1_000_000);
    UNITS
        .iter()
        .filter(|_| exact)
        .find(|(unit, _)| duration.as_millis().is_multiple_of(*unit))
        .map_or_else(
            || humantime::format_duration(duration).to_string(),
            |(unit, name)| format!("{}{name}", duration.as_millis() / unit),
        )
}

/// By [`show`].
pub fn serialize<S: Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&show(*value))
}

/// By [`parse`].
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse(&text).ok_or_else(|| de::Error::custom("must be a duration such as 15m, 10s or 500ms"))
}
