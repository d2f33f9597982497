//! A page of metrics, and what two of them say of the time between.

use std::collections::BTreeMap;

/// One page in Prometheus' text format, without histograms' exemplars and without comments.
#[derive(Debug, Default)]
pub(super) struct Page(Vec<Sample>);

#[derive(Debug)]
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

/// Which series of a metric are meant: all that have these labels.
pub(super) type Labels<'a> = &'a [(&'a str, &'a str)];

impl Page {
    /// Lines that are no samples are left out.
    pub(super) fn parse(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        Self(lines.filter_map(Sample::parse).collect())
    }

    /// Whether nothing of it is of this service.
    pub(super) fn is_foreign(&self) -> bool {
        !self.0.iter().any(|sample| sample.name == "sso_build_info")
    }

    fn of<'a>(&'a self, name: &'a str, labels: Labels<'a>) -> impl Iterator<Item = &'a Sample> {
        (self.0.iter()).filter(move |sample| sample.name == name && sample.has(labels))
    }

    /// The sum of the series, if there is one.
    pub(super) fn value(&self, name: &str, labels: Labels<'_>) -> Option<f64> {
        let mut series = self.of(name, labels).peekable();
        series.peek()?;
        Some(series.map(|sample| sample.value).sum())
    }

    /// The values of a label, in order.
    pub(super) fn values(&self, name: &str, label: &str) -> Vec<String> {
        let found = self.of(name, &[]);
        let mut values: Vec<String> = found.filter_map(|sample| sample.label(label)).collect();
        values.sort_unstable();
        values.dedup();
        values
    }
}

impl Sample {
    fn parse(line: &str) -> Option<Self> {
        let at = line.find(['{', ' '])?;
        let (name, rest) = line.split_at(at);
        let (labels, value) = match rest.strip_prefix('{') {
            Some(rest) => labels(rest)?,
            None => (BTreeMap::new(), rest),
        };
        Some(Self {
            name: name.to_owned(),
            labels,
            value: value.split_whitespace().next()?.parse().ok()?,
        })
    }

    fn label(&self, name: &str) -> Option<String> {
        self.labels.get(name).cloned()
    }

    fn has(&self, labels: Labels<'_>) -> bool {
        (labels.iter())
            .all(|(name, value)| self.labels.get(*name).is_some_and(|found| found == value))
    }
}

/// What stands between `{` and `}`, and what comes after.
fn labels(mut rest: &str) -> Option<(BTreeMap<String, String>, &str)> {
    let mut labels = BTreeMap::new();
    loop {
        rest = rest.trim_start_matches(',');
        if let Some(value) = rest.strip_prefix('}') {
            return Some((labels, value));
        }
        let (name, quoted) = rest.split_once("=\"")?;
        let mut value = String::new();
        let mut characters = quoted.char_indices();
        rest = loop {
            match characters.next()? {
                (at, '"') => break quoted.get(at + 1..)?,
                (_, '\\') => value.push(match characters.next()?.1 {
                    'n' => '\n',
                    other => other,
                }),
                (_, other) => value.push(other),
            }
        };
        labels.insert(name.to_owned(), value);
    }
}

/// Two pages, and the time between.
#[derive(Debug, Clone, Copy)]
pub(super) struct Interval<'a> {
    pub(super) before: &'a Page,
    pub(super) now: &'a Page,
    /// More than 0.
    pub(super) seconds: f64,
}

impl Interval<'_> {
    /// What a counter rose by a second. One that fell began anew.
    pub(super) fn rate(&self, name: &str, labels: Labels<'_>) -> f64 {
        self.rose(name, labels) / self.seconds
    }

    fn rose(&self, name: &str, labels: Labels<'_>) -> f64 {
        let now = self.now.value(name, labels).unwrap_or_default();
        let before = self.before.value(name, labels).unwrap_or_default();
        if now < before { now } else { now - before }
    }

    /// The mean of what a histogram observed. `None` if nothing was.
    pub(super) fn mean(&self, name: &str, labels: Labels<'_>) -> Option<f64> {
        let count = self.rose(&format!("{name}_count"), labels);
        (count > 0.0).then(|| self.rose(&format!("{name}_sum"), labels) / count)
    }

    /// The quantile of what a histogram observed, interpolated in its bucket as Prometheus'
    /// `histogram_quantile` does. `None` if nothing was.
    pub(super) fn quantile(&self, quantile: f64, name: &str, labels: Labels<'_>) -> Option<f64> {
        let name = format!("{name}_bucket");
        let mut buckets: Vec<(f64, f64)> = (self.now.values(&name, "le").iter())
            .filter_map(|text| {
                let mut wanted = labels.to_vec();
                wanted.push(("le", text.as_str()));
                Some((text.parse().ok()?, self.rose(&name, &wanted)))
            })
            .collect();
        buckets.sort_unstable_by(|(a, _), (b, _)| a.total_cmp(b));
        let &(_, all) = buckets.last()?;
        let rank = quantile * all;
        let (mut from, mut below) = (0.0, 0.0);
        for (to, count) in buckets {
            if all > 0.0 && count >= rank {
                let share = (rank - below) / (count - below);
                let inside = from + (to - from) * share;
                return Some(if inside.is_finite() { inside } else { from });
            }
            (from, below) = (to, count);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = "\
# TYPE calls_total counter
calls_total{route=\"/a\",code=\"200\"} 10
calls_total{route=\"/a\",code=\"500\"} 1
calls_total{route=\"/b\",code=\"200\"} 100
took_seconds_bucket{le=\"0.1\"} 0
took_seconds_bucket{le=\"0.2\"} 0
took_seconds_bucket{le=\"+Inf\"} 0
took_seconds_sum 0
took_seconds_count 0
";
    const NOW: &str = "\
calls_total{route=\"/a\",code=\"200\"} 14
calls_total{route=\"/a\",code=\"500\"} 1
calls_total{route=\"/b\",code=\"200\"} 7
odd{text=\"a\\\"b\\\\c\\nd,e}\"} 3 1700000000
nothing here
took_seconds_bucket{le=\"0.1\"} 2
took_seconds_bucket{le=\"0.2\"} 4
took_seconds_bucket{le=\"+Inf\"} 5
took_seconds_sum 1.5
took_seconds_count 5
";

    fn between(before: &Page, now: &Page, check: impl FnOnce(Interval<'_>)) {
        check(Interval {
            before,
            now,
            seconds: 2.0,
        });
    }

    fn about(found: Option<f64>, expected: f64) {
        assert!((found.unwrap() - expected).abs() < 1e-9, "{found:?}");
    }

    #[test]
    fn labels_are_read_with_their_escapes() {
        let page = Page::parse(NOW);
        assert_eq!(page.values("odd", "text"), ["a\"b\\c\nd,e}"]);
        about(page.value("odd", &[]), 3.0);
        assert_eq!(page.value("nothing", &[]), None);
        assert_eq!(page.values("calls_total", "route"), ["/a", "/b"]);
        about(page.value("calls_total", &[("route", "/a")]), 15.0);
    }

    #[test]
    fn a_rate_is_a_difference_by_time_and_a_counter_that_fell_began_anew() {
        between(&Page::parse(BEFORE), &Page::parse(NOW), |interval| {
            about(Some(interval.rate("calls_total", &[("route", "/a")])), 2.0);
            about(Some(interval.rate("calls_total", &[("route", "/b")])), 3.5);
            about(Some(interval.rate("unknown_total", &[])), 0.0);
        });
    }

    #[test]
    fn quantiles_are_those_of_prometheus() {
        let now = Page::parse(NOW);
        between(&Page::parse(BEFORE), &now, |interval| {
            about(interval.quantile(0.2, "took_seconds", &[]), 0.05);
            about(interval.quantile(0.6, "took_seconds", &[]), 0.15);
            about(interval.quantile(0.99, "took_seconds", &[]), 0.2);
            about(interval.mean("took_seconds", &[]), 0.3);
            assert_eq!(interval.quantile(0.5, "unknown_seconds", &[]), None);
        });
        between(&now, &now, |still| {
            assert_eq!(still.quantile(0.5, "took_seconds", &[]), None);
            assert_eq!(still.mean("took_seconds", &[]), None);
        });
    }
}
