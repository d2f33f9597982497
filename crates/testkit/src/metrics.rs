//! Whether a page of metrics is as its program's list of them says.

use std::collections::BTreeSet;

/// What is on a page in Prometheus' text format and not in the list (docs/metrics.md, or a program's part
/// of it): names with their types, and labels.
pub fn unlisted(list: &str, page: &str) -> BTreeSet<String> {
    let mut unlisted = BTreeSet::new();
    // The labels of the metric whose series follow.
    let mut labels = None;
    for line in page.lines() {
        if let Some(typed) = line.strip_prefix("# TYPE ") {
            labels = labels_of(list, typed);
            if labels.is_none() {
                unlisted.insert(typed.to_owned());
            }
        } else if let (Some(labels), false) = (labels, line.starts_with('#')) {
            let missing = keys(line).filter(|key| !labels.contains(&format!("`{key}`")));
            unlisted.extend(missing.map(|key| format!("{key} of {line}")));
        }
    }
    unlisted
}

/// The column of labels in the row of this metric (`name type`).
fn labels_of<'a>(list: &'a str, typed: &str) -> Option<&'a str> {
    let (name, kind) = typed.split_once(' ')?;
    let begin = format!("| `{name}` | {kind} | ");
    let row = list.lines().find(|row| row.starts_with(&begin))?;
    row.split(" | ").nth(3)
}

/// The labels of a series, but for the bounds of buckets. Values may hold braces.
fn keys(series: &str) -> impl Iterator<Item = &str> {
    let before = series
        .match_indices("=\"")
        .map(|(at, _)| series.split_at(at).0);
    let key = before.filter_map(|before| before.rsplit(['{', ',']).next());
    key.filter(|key| *key != "le")
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "\
| name | type | unit | labels | meaning |
|---|---|---|---|---|
| `cups_total` | counter |  | `kind`, `size` | Cups. |
| `wait_seconds` | histogram | seconds |  | Time of a cup. |
";

    #[test]
    fn what_the_list_does_not_say_is_found() {
        let page = "\
# HELP cups_total Cups.
# TYPE cups_total counter
cups_total{size=\"/{uuid},x\",kind=\"tea\"} 1
cups_total{colour=\"red\"} 1

# TYPE wait_seconds histogram
wait_seconds_bucket{le=\"0.1\"} 0
wait_seconds_count 0

# TYPE cups gauge
cups{any=\"\"} 1
";
        let found: Vec<_> = unlisted(LIST, page).into_iter().collect();
        assert_eq!(
            found,
            ["colour of cups_total{colour=\"red\"} 1", "cups gauge"]
        );
        let gauge = unlisted(LIST, "# TYPE cups_total gauge\n");
        assert_eq!(gauge.len(), 1, "of another type");
    }
}
