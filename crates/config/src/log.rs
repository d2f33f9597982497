//! The section that says what is logged, and how.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sso_telemetry::Filter;

use crate::values::{Text, text};

/// Logs, on standard error.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// How.
    pub format: LogFormat,
    /// What: a level, with other levels for single modules.
    #[serde(with = "text")]
    #[schemars(with = "Text<Filter>")]
    pub level: Filter,
}

impl From<&Log> for sso_telemetry::Logs {
    fn from(log: &Log) -> Self {
        Self {
            format: match log.format {
                LogFormat::Auto => sso_telemetry::Format::Auto,
                LogFormat::Pretty => sso_telemetry::Format::Pretty,
                LogFormat::Json => sso_telemetry::Format::Json,
            },
            level: log.level.clone(),
        }
    }
}

/// How events are logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people on a terminal, else JSON.
    #[default]
    Auto,
    /// A line for people.
    Pretty,
    /// A JSON object a line.
    Json,
}
