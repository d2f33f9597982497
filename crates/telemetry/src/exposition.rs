//! How metrics are written: Prometheus' text format, or OpenMetrics, whichever is asked for.
//!
//! The exporter writes the first. The second has exemplars, and differs from it in little else: a
//! counter's family is named without `_total`, there are no empty lines, and it ends with `# EOF`
//! (OpenMetrics 1.0.0, "Text format").

use std::fmt::Write as _;

use crate::exemplars;

/// A format of metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exposition {
    /// Prometheus' text format, version 0.0.4.
    Text,
    /// OpenMetrics 1.0.0, with exemplars.
    OpenMetrics,
}

impl Exposition {
    /// What the header `Accept` of a scraper prefers: OpenMetrics if it is named at all, since who
    /// names it names it first; else the text.
    pub fn of_accept(accept: Option<&str>) -> Self {
        let is_named = accept.is_some_and(|accept| {
            (accept.split(',')).any(|kind| {
                kind.trim_start()
                    .starts_with("application/openmetrics-text")
            })
        });
        if is_named {
            Self::OpenMetrics
        } else {
            Self::Text
        }
    }

    /// Its media type.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// Turns the text format into OpenMetrics.
pub(crate) fn openmetrics(text: &str) -> String {
    let mut page = String::with_capacity(text.len());
    for line in text.lines().filter(|line| !line.is_empty()) {
        // Writing to a string does not fail.
        let _ = match line.split_once(' ') {
            Some(("#", comment)) => writeln!(page, "# {}", described(comment)),
            _ => match line
                .rsplit_once(' ')
                .and_then(|(series, _)| exemplars::of(series))
            {
                Some(exemplar) => writeln!(page, "{line}{exemplar}"),
                None => writeln!(page, "{line}"),
            },
        };
    }
    page + "# EOF\n"
}

/// `HELP` and `TYPE` of a family. All metrics that end in `_total` are counters, and no others.
fn described(comment: &str) -> String {
    let mut parts = comment.splitn(3, ' ');
    let (kind, name, rest) = (parts.next(), parts.next(), parts.next());
    let (kind, name) = (kind.unwrap_or_default(), name.unwrap_or_default());
    let family = name.strip_suffix("_total").unwrap_or(name);
    let rest = rest.unwrap_or_default();
    if kind == "HELP" {
        return format!("HELP {family} {}", rest.replace('"', "\\\""));
    }
    format!("{kind} {family} {rest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openmetrics_is_for_who_names_it() {
        let prometheus = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;\
                          version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        assert_eq!(
            Exposition::of_accept(Some(prometheus)),
            Exposition::OpenMetrics
        );
        for other in [
            None,
            Some("*/*"),
            Some("text/plain;version=0.0.4, text/html"),
        ] {
            assert_eq!(Exposition::of_accept(other), Exposition::Text);
        }
    }

    #[test]
    fn a_page_becomes_families_with_an_end() {
        let text = "# HELP a_total Some \"things\".\n# TYPE a_total counter\na_total{x=\"y z\"} 3\n\
                    \n# HELP b_seconds Time.\n# TYPE b_seconds gauge\nb_seconds 0.5\n\n";
        let page = "# HELP a Some \\\"things\\\".\n# TYPE a counter\na_total{x=\"y z\"} 3\n\
                    # HELP b_seconds Time.\n# TYPE b_seconds gauge\nb_seconds 0.5\n# EOF\n";
        assert_eq!(openmetrics(text), page);
    }
}
