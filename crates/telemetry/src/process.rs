//! Figures of this process, by the names that Prometheus' own clients use, read from `/proc`.

use std::{
    fmt::{self, Display, Write},
    fs::{self, File},
    io::Read,
};

use metrics::Unit;

/// Ticks a second of times in `/proc` (USER_HZ). Part of the kernel's ABI: 100 on every machine
/// that Rust's standard library supports.
const TICKS: f64 = 100.0;
/// More is not read of one file: `/proc/stat` grows with the number of processors.
const MAX_BYTES: u64 = 256 * 1024;

type Figure = (&'static str, &'static str, Option<Unit>, &'static str);

/// What `/proc` says. What cannot be read is `None` and not rendered: no figure is better than a
/// wrong one.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Process {
    resident_bytes: Option<u64>,
    virtual_bytes: Option<u64>,
    cpu_seconds: Option<f64>,
    start_seconds: Option<f64>,
    open_fds: Option<u64>,
    max_fds: Option<u64>,
    threads: Option<u64>,
}

impl Process {
    /// Name, type, unit and meaning of each figure.
    pub(crate) const FIGURES: [Figure; 7] = [
        (
            "process_resident_memory_bytes",
            "gauge",
            Some(Unit::Bytes),
            "Resident memory size in bytes.",
        ),
        (
            "process_virtual_memory_bytes",
            "gauge",
            Some(Unit::Bytes),
            "Virtual memory size in bytes.",
        ),
        (
            "process_cpu_seconds_total",
            "counter",
            Some(Unit::Seconds),
            "User and system CPU time spent in seconds.",
        ),
        (
            "process_start_time_seconds",
            "gauge",
            Some(Unit::Seconds),
            "Start time of the process since the Unix epoch in seconds.",
        ),
        (
            "process_open_fds",
            "gauge",
            None,
            "Number of open file descriptors.",
        ),
        (
            "process_max_fds",
            "gauge",
            None,
            "Maximum number of open file descriptors.",
        ),
        ("process_threads", "gauge", None, "Number of threads."),
    ];

    /// Reads it now.
    pub(crate) fn read() -> Self {
        let status = text("/proc/self/status");
        let kib = |name| field(status.as_deref()?, name).map(|kib| kib * 1024);
        let stat = text("/proc/self/stat");
        let stat = stat.as_deref().map(Stat::parse).unwrap_or_default();
        Self {
            resident_bytes: kib("VmRSS:"),
            virtual_bytes: kib("VmSize:"),
            cpu_seconds: stat.cpu_seconds,
            start_seconds: stat.start_after_boot.and_then(|after| {
                let boot = field(&text("/proc/stat")?, "btime ")?;
                Some(seconds(boot) + after)
            }),
            // The listing itself holds one.
            open_fds: fs::read_dir("/proc/self/fd")
                .ok()
                .map(|entries| (entries.count() as u64).saturating_sub(1)),
            max_fds: text("/proc/self/limits").and_then(|limits| field(&limits, "Max open files ")),
            threads: status.as_deref().and_then(|s| field(s, "Threads:")),
        }
    }

    /// Appends it in Prometheus' text format.
    pub(crate) fn render(&self, out: &mut String) -> fmt::Result {
        let values = [
            show(self.resident_bytes),
            show(self.virtual_bytes),
            show(self.cpu_seconds),
            show(self.start_seconds),
            show(self.open_fds),
            show(self.max_fds),
            show(self.threads),
        ];
        for ((name, kind, _, help), value) in Self::FIGURES.iter().zip(values) {
            if let Some(value) = value {
                write!(
                    out,
                    "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n\n"
                )?;
            }
        }
        Ok(())
    }
}

fn show(value: Option<impl Display>) -> Option<String> {
    value.map(|value| value.to_string())
}

/// Of `/proc/self/stat` (proc_pid_stat(5)).
#[derive(Debug, Default, PartialEq)]
struct Stat {
    cpu_seconds: Option<f64>,
    start_after_boot: Option<f64>,
}

impl Stat {
    fn parse(text: &str) -> Self {
        // The second field is the program's name in parentheses and may hold anything.
        let after_name = text.rsplit_once(") ").map_or("", |(_, rest)| rest);
        let fields: Vec<&str> = after_name.split_ascii_whitespace().collect();
        // The first field here is the third of the manual page.
        let ticks = |number: usize| {
            let text = fields.get(number - 3)?;
            text.parse().ok().map(|ticks: u64| seconds(ticks) / TICKS)
        };
        let sum = |user: f64| Some(user + ticks(15)?);
        Self {
            cpu_seconds: ticks(14).and_then(sum),
            start_after_boot: ticks(22),
        }
    }
}

/// The first number after `name`, on the line that starts with it.
fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[expect(
    clippy::cast_precision_loss,
    reason = "exact below 2^53 ticks, which is 2.8 million years"
)]
fn seconds(count: u64) -> f64 {
    count as f64
}

fn text(path: &str) -> Option<String> {
    let mut text = String::new();
    let file = File::open(path).ok()?;
    file.take(MAX_BYTES).read_to_string(&mut text).ok()?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_plausible_figures() {
        let process = Process::read();
        assert!(process.resident_bytes.unwrap() > 100_000);
        assert!(process.virtual_bytes > process.resident_bytes);
        assert!(process.open_fds.unwrap() >= 3);
        assert!(process.max_fds.unwrap() >= process.open_fds.unwrap());
        assert!(process.threads.unwrap() >= 1);
        assert!(process.cpu_seconds.unwrap() >= 0.0);
        let started = process.start_seconds.unwrap();
        let now = fs::metadata("/proc/self").unwrap().modified().unwrap();
        let now = now.duration_since(std::time::UNIX_EPOCH).unwrap();
        assert!(
            (now.as_secs_f64() - started).abs() < 3600.0,
            "{started} {now:?}"
        );
    }

    #[test]
    fn an_open_file_is_counted() {
        let before = Process::read().open_fds.unwrap();
        let files: Vec<_> = (0..50).map(|_| File::open("/proc/self/stat")).collect();
        assert!(Process::read().open_fds.unwrap() >= before + 40);
        drop(files);
    }

    #[test]
    fn a_program_may_be_named_like_other_fields() {
        let text = "7 (a) R 9 (b) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0 4 0 12345 9 9";
        assert_eq!(
            Stat::parse(text),
            Stat {
                cpu_seconds: Some(3.0),
                start_after_boot: Some(123.45)
            }
        );
        assert_eq!(Stat::parse("garbage"), Stat::default());
        assert_eq!(Stat::parse(""), Stat::default());
    }

    #[test]
    fn what_is_unknown_is_left_out() {
        let mut out = String::new();
        let process = Process {
            cpu_seconds: Some(1.25),
            ..Process::default()
        };
        process.render(&mut out).unwrap();
        assert_eq!(
            out,
            "# HELP process_cpu_seconds_total User and system CPU time spent in seconds.\n\
             # TYPE process_cpu_seconds_total counter\n\
             process_cpu_seconds_total 1.25\n\n"
        );
        assert_eq!(
            field("Max open files   unlimited  x", "Max open files "),
            None
        );
    }
}
