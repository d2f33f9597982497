//! What the value of a key may be, read from its JSON schema.

use std::{fmt, time::Duration};

use serde::Deserialize;
use serde_json::Value as Json;
use toml::{Value, de::ValueDeserializer};

use crate::duration;

/// Longest text of one value in bytes.
const MAX_TEXT: usize = 4096;
/// Longest list of tables in one line, in bytes.
const MAX_TABLES: usize = 64 * 1024;

/// What a value may be. Displays as what stands after "must be".
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// `true` or `false`.
    Bool,
    /// A number within bounds.
    Integer {
        /// The least.
        min: i64,
        /// The most.
        max: i64,
    },
    /// A number with a fraction, within bounds.
    Number {
        /// The least.
        min: f64,
        /// The most.
        max: f64,
    },
    /// A duration within bounds.
    Duration {
        /// The least.
        min: Duration,
        /// The most.
        max: Duration,
        /// Whether a part of a second is refused.
        whole_seconds: bool,
    },
    /// One of these.
    Choice(Vec<Choice>),
    /// A text that its type parses.
    Text {
        /// What is right, in words.
        shape: String,
    },
    /// A list of such texts.
    List {
        /// The least number of them.
        min: usize,
        /// The most.
        max: usize,
        /// What is right, in words.
        shape: String,
    },
    /// A list of tables.
    Tables {
        /// The most of them.
        max: usize,
        /// What is right, in words.
        shape: String,
    },
}

/// One of a choice.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// As it is written.
    pub name: String,
    /// Its manual.
    pub text: String,
}

/// A value as a source gives it.
#[derive(Debug, Clone, PartialEq)]
pub enum Raw {
    /// Typed, of a file.
    Toml(Value),
    /// Text, of a variable, a flag, a file with a secret.
    Text(String),
}

impl Kind {
    /// Reads what a key's schema says; `None` for a shape that this does not know.
    pub(crate) fn of_schema(schema: &Json) -> Option<Self> {
        if let Some(choices) = choices(schema) {
            return Some(Self::Choice(choices));
        }
        match type_of(schema)? {
            "boolean" => Some(Self::Bool),
            "integer" => Some(Self::Integer {
                min: schema["minimum"].as_i64()?,
                max: schema["maximum"].as_i64()?,
            }),
            "number" => Some(Self::Number {
                min: schema["minimum"].as_f64()?,
                max: schema["maximum"].as_f64()?,
            }),
            "string" if schema["format"] == duration::FORMAT => Some(Self::Duration {
                min: duration::parse(schema["x-minimum"].as_str()?)?,
                max: duration::parse(schema["x-maximum"].as_str()?)?,
                whole_seconds: schema["x-whole-seconds"] == true,
            }),
            "string" => Some(Self::Text {
                shape: shape(schema)?,
            }),
            "array" if schema["items"]["type"] == "object" => Some(Self::Tables {
                max: usize::try_from(schema["maxItems"].as_u64()?).ok()?,
                shape: shape(schema)?,
            }),
            "array" => Some(Self::List {
                min: usize::try_from(schema["minItems"].as_u64()?).ok()?,
                max: usize::try_from(schema["maxItems"].as_u64()?).ok()?,
                shape: shape(&schema["items"])?,
            }),
            _ => None,
        }
    }

    /// The value in its type, or `None` if it is not of this kind. What a text means beyond that
    /// is judged where it is parsed.
    pub fn read(&self, raw: Raw) -> Option<Value> {
        let value = match raw {
            Raw::Toml(value) => self.widened(value),
            Raw::Text(text) => self.parse(text)?,
        };
        self.admits(&value).then_some(value)
    }

    /// A whole number where one with a fraction may stand; 0 and 1 are what people write. And the other
    /// way round: Helm writes every number with one (`toToml`: 32 becomes `32.0`).
    fn widened(&self, value: Value) -> Value {
        match (self, value) {
            (Self::Number { .. }, Value::Integer(0)) => Value::Float(0.0),
            (Self::Number { .. }, Value::Integer(1)) => Value::Float(1.0),
            (Self::Integer { .. }, Value::Float(number)) => {
                let whole = (number.fract() == 0.0).then(|| format!("{number:.0}").parse().ok());
                whole.flatten().map_or(Value::Float(number), Value::Integer)
            }
            (_, value) => value,
        }
    }

    fn parse(&self, text: String) -> Option<Value> {
        Some(match self {
            Self::Bool => Value::Boolean(text.parse().ok()?),
            Self::Integer { .. } => Value::Integer(text.parse().ok()?),
            Self::Number { .. } => Value::Float(text.parse().ok()?),
            Self::List { .. } | Self::Tables { .. } if text.is_empty() => Value::Array(Vec::new()),
            Self::List { .. } => {
                let item = |item: &str| Value::String(item.trim().to_owned());
                Value::Array(text.split(',').map(item).collect())
            }
            Self::Tables { .. } if text.len() > MAX_TABLES => return None,
            Self::Tables { .. } => {
                let value = ValueDeserializer::parse(&text).ok()?;
                Value::deserialize(value).ok()?
            }
            Self::Duration { .. } | Self::Choice(_) | Self::Text { .. } => Value::String(text),
        })
    }

    fn admits(&self, value: &Value) -> bool {
        match (self, value) {
            (Self::Bool, Value::Boolean(_)) => true,
            (Self::Integer { min, max }, Value::Integer(number)) => (min..=max).contains(&number),
            (Self::Number { min, max }, Value::Float(number)) => (min..=max).contains(&number),
            (
                Self::Duration {
                    min,
                    max,
                    whole_seconds,
                },
                Value::String(text),
            ) => duration::parse(text).is_some_and(|time| {
                (min..=max).contains(&&time) && !(*whole_seconds && time.subsec_nanos() > 0)
            }),
            (Self::Choice(choices), Value::String(text)) => {
                choices.iter().any(|choice| choice.name == *text)
            }
            (Self::Text { .. }, value) => is_text(value),
            (Self::List { min, max, .. }, Value::Array(items)) => {
                (min..=max).contains(&&items.len()) && items.iter().all(is_text)
            }
            (Self::Tables { max, .. }, Value::Array(items)) => {
                items.len() <= *max && items.iter().all(Value::is_table)
            }
            _ => false,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool => f.write_str("true or false"),
            Self::Integer { min, max } => write!(f, "a whole number from {min} to {max}"),
            Self::Number { min, max } => write!(f, "a number from {min} to {max}"),
            Self::Duration {
                min,
                max,
                whole_seconds,
            } => {
                let such = if *whole_seconds {
                    "in whole seconds, such as 15m or 10d"
                } else {
                    "such as 15m, 10s or 500ms"
                };
                let (min, max) = (duration::show(*min), duration::show(*max));
                write!(f, "a duration {such}, from {min} to {max}")
            }
            Self::Choice(choices) => {
                let names: Vec<&str> = choices.iter().map(|choice| &*choice.name).collect();
                match names.split_last() {
                    Some((last, rest)) if !rest.is_empty() => {
                        write!(f, "{} or {last}", rest.join(", "))
                    }
                    _ => f.write_str(&names.concat()),
                }
            }
            Self::Text { shape } => f.write_str(shape),
            Self::List { min, max, shape } => {
                write!(f, "a list of {min} to {max}, each {shape}")
            }
            Self::Tables { max, shape } => {
                write!(f, "a list of up to {max} tables, each {shape}")
            }
        }
    }
}

fn is_text(value: &Value) -> bool {
    let Value::String(text) = value else {
        return false;
    };
    (1..=MAX_TEXT).contains(&text.len()) && !text.contains(char::is_control)
}

/// Of `["string", "null"]`, which an optional value has: the first.
fn type_of(schema: &Json) -> Option<&str> {
    let kind = &schema["type"];
    kind.as_str().or_else(|| kind[0].as_str())
}

fn shape(schema: &Json) -> Option<String> {
    schema["x-shape"].as_str().map(ToOwned::to_owned)
}

fn choices(schema: &Json) -> Option<Vec<Choice>> {
    let choice = |variant: &Json| {
        Some(Choice {
            name: variant["const"].as_str()?.to_owned(),
            text: variant["description"].as_str()?.to_owned(),
        })
    };
    schema["oneOf"].as_array()?.iter().map(choice).collect()
}
