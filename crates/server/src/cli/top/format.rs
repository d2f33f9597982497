//! Numbers as a person reads them at night: short, and always with their unit.

const MINUTE: f64 = 60.0;
const HOUR: f64 = 60.0 * MINUTE;
const DAY: f64 = 24.0 * HOUR;

/// What happens in a second.
pub(super) fn rate(per_second: f64) -> String {
    let digits = match per_second {
        nothing if nothing <= 0.0 => return "0".to_owned(),
        little if little < 0.995 => 3,
        some if some < 9.95 => 2,
        more if more < 99.5 => 1,
        _ => 0,
    };
    format!("{per_second:.digits$}")
}

/// A time. `None` is nothing to measure.
pub(super) fn seconds(time: Option<f64>) -> String {
    let Some(time) = time.filter(|time| time.is_finite()) else {
        return "-".to_owned();
    };
    match time.abs() {
        size if size < 0.0995 => format!("{:.1} ms", time * 1000.0),
        size if size < 0.9995 => format!("{:.0} ms", time * 1000.0),
        size if size < 99.5 => format!("{time:.1} s"),
        size if size < 2.0 * HOUR => format!("{:.0} min", time / MINUTE),
        size if size < 2.0 * DAY => format!("{:.1} h", time / HOUR),
        _ => format!("{:.1} d", time / DAY),
    }
}

/// How many of something that is counted.
pub(super) fn count(number: Option<f64>) -> String {
    number.map_or_else(|| "-".to_owned(), |number| format!("{number:.0}"))
}

/// Memory.
pub(super) fn bytes(number: Option<f64>) -> String {
    let mebibytes = number.map(|number| number / f64::from(1 << 20));
    mebibytes.map_or_else(|| "-".to_owned(), |size| format!("{size:.0} MiB"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_have_units() {
        let rates = [0.0, 0.25, 2.5, 25.04, 2504.4].map(rate);
        assert_eq!(rates, ["0", "0.250", "2.50", "25.0", "2504"]);
        let times = [0.0004, 0.25, 2.5, 600.0, 7200.0, 400_000.0, -600.0];
        let times = times.map(|time| seconds(Some(time)));
        let expected = [
            "0.4 ms", "250 ms", "2.5 s", "10 min", "2.0 h", "4.6 d", "-10 min",
        ];
        assert_eq!(times, expected);
        assert_eq!(seconds(Some(f64::INFINITY)), "-");
        assert_eq!(bytes(Some(41_943_040.0)), "40 MiB");
        assert_eq!(count(None), "-");
    }
}
