//! Which events are logged.

use std::{fmt, str::FromStr};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;

/// Most parts of a filter.
const MAX_PARTS: usize = 64;
/// Longest filter in bytes.
const MAX_BYTES: usize = 4096;

/// Which events are logged: a level, and other levels for single modules, as in
/// `info,sso_http=debug`. A module's level goes for the modules below it too.
///
/// The levels are `off`, `error`, `warn`, `info`, `debug`, `trace`. Without a level of its own the
/// rest is at `info`.
#[derive(Debug, Clone, PartialEq)]
pub struct Filter(Targets);

impl Filter {
    pub(crate) fn targets(&self) -> Targets {
        self.0.clone()
    }

    pub(crate) fn from_targets(targets: Targets) -> Self {
        Self(targets)
    }
}

impl Default for Filter {
    fn default() -> Self {
        Self(Targets::new().with_default(LevelFilter::INFO))
    }
}

/// Not parsed by `Targets`: that takes the misspelt `inof` for a module to be logged in full.
impl FromStr for Filter {
    type Err = InvalidFilter;

    fn from_str(text: &str) -> Result<Self, InvalidFilter> {
        if text.len() > MAX_BYTES || text.split(',').count() > MAX_PARTS {
            return Err(InvalidFilter);
        }
        let mut rest = None;
        let mut targets = Targets::new();
        for part in text.split(',').map(str::trim) {
            match part.split_once('=') {
                None if rest.is_none() => rest = Some(level(part)?),
                Some((module, name)) if is_module(module) => {
                    targets = targets.with_target(module, level(name)?);
                }
                _ => return Err(InvalidFilter),
            }
        }
        Ok(Self(
            targets.with_default(rest.unwrap_or(LevelFilter::INFO)),
        ))
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rest = self.0.default_level().unwrap_or(LevelFilter::OFF);
        write!(f, "{rest}")?;
        for (module, level) in self.0.iter().filter(|(module, _)| !module.is_empty()) {
            write!(f, ",{module}={level}")?;
        }
        Ok(())
    }
}

/// The text is no filter. It is not repeated here: it may come from anybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be off, error, warn, info, debug or trace, with other levels for single modules as in \
     info,sso_http=debug"
)]
pub struct InvalidFilter;

fn level(name: &str) -> Result<LevelFilter, InvalidFilter> {
    match name {
        "off" => Ok(LevelFilter::OFF),
        "error" => Ok(LevelFilter::ERROR),
        "warn" => Ok(LevelFilter::WARN),
        "info" => Ok(LevelFilter::INFO),
        "debug" => Ok(LevelFilter::DEBUG),
        "trace" => Ok(LevelFilter::TRACE),
        _ => Err(InvalidFilter),
    }
}

fn is_module(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b':')
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn a_module_has_its_own_level_and_the_rest_is_at_info() {
        let filter: Filter = "sso_http=debug".parse().unwrap();
        assert!(filter.0.would_enable("sso_http::accept", &Level::DEBUG));
        assert!(filter.0.would_enable("hyper", &Level::INFO));
        assert!(!filter.0.would_enable("hyper", &Level::DEBUG));
    }

    #[test]
    fn a_filter_prints_as_it_is_read() {
        for text in ["off", "info", "warn,sso_http=debug,sso_http::tls=trace"] {
            let filter: Filter = text.parse().unwrap();
            assert_eq!(filter.to_string().parse(), Ok(filter.clone()), "{text}");
        }
        assert_eq!(Filter::default(), "info".parse().unwrap());
        assert_eq!(Filter::default().to_string(), "info");
    }

    #[test]
    fn what_is_no_filter_is_refused() {
        for text in [
            "",
            "inof",
            "INFO",
            "info,debug",
            "info,",
            "=debug",
            "sso=loud",
            "a b=debug",
            "sso[span]=debug",
        ] {
            assert_eq!(text.parse::<Filter>(), Err(InvalidFilter), "{text}");
        }
        assert!("a=info,".repeat(700).parse::<Filter>().is_err());
    }
}
