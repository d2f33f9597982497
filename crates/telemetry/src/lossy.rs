//! Standard error whose reader may hang: a service must not hang with it.
//!
//! Where standard error is a pipe, a socket or a terminal, a write waits until there is room, and
//! every thread that logs would wait with it. Here a line waits for at most [`PATIENCE`]; from then
//! on lines are dropped and counted, until there is room again. A file has room always.

use std::{
    io::{self, Stderr, Write},
    os::fd::AsFd,
    sync::{LazyLock, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use metrics::{counter, describe_counter};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};

/// How long the first line waits for a reader that does not read.
const PATIENCE: Duration = Duration::from_millis(50);
/// What fits wherever poll(2) says that there is room: `PIPE_BUF` (pipe(7)).
const PIECE: usize = 4096;
const DROPPED: &str = "sso_log_lines_dropped_total";

static STDERR: LazyLock<Lossy<Stderr>> = LazyLock::new(|| Lossy::new(io::stderr()));

/// Standard error, for all threads.
pub(crate) fn stderr() -> &'static Lossy<Stderr> {
    &STDERR
}

pub(crate) fn register_metrics() {
    describe_counter!(
        DROPPED,
        "Lines of the log that were dropped: whoever reads standard error did not."
    );
    counter!(DROPPED).absolute(0);
}

/// Says in the log, once it is read again, how many lines of it are missing.
pub(crate) fn tell() {
    // Not under the lock: this is a line, too.
    let lines = STDERR.missing();
    if lines > 0 {
        tracing::warn!(
            lines,
            "lines of the log were dropped: whoever reads standard error did not"
        );
    }
}

/// A writer of lines that drops what its reader does not take.
pub(crate) struct Lossy<W>(Mutex<State<W>>);

struct State<W> {
    to: W,
    /// The last line found no room: the next does not wait.
    hangs: bool,
    /// The last line was cut off in its middle.
    is_torn: bool,
    missing: u64,
}

impl<W: Write + AsFd> Lossy<W> {
    fn new(to: W) -> Self {
        Self(Mutex::new(State {
            to,
            hangs: false,
            is_torn: false,
            missing: 0,
        }))
    }

    fn state(&self) -> MutexGuard<'_, State<W>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many lines were dropped since this was last asked; 0 while they still are.
    fn missing(&self) -> u64 {
        let mut state = self.state();
        if state.missing == 0 || !state.has_room() {
            return 0;
        }
        std::mem::take(&mut state.missing)
    }
}

impl<W: Write + AsFd> State<W> {
    /// Whether a piece can be written without waiting; waits for that once.
    fn has_room(&mut self) -> bool {
        let patience = if self.hangs { Duration::ZERO } else { PATIENCE };
        let patience = Timespec::try_from(patience).ok();
        let mut wanted = [PollFd::new(&self.to, PollFlags::OUT)];
        self.hangs = match poll(&mut wanted, patience.as_ref()) {
            Ok(ready) => ready == 0,
            // A signal: the line is as good as any to be dropped.
            Err(Errno::INTR) => true,
            // Writing will say what is wrong.
            Err(_) => false,
        };
        !self.hangs
    }

    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        for (at, piece) in line.chunks(PIECE).enumerate() {
            if !self.has_room() {
                self.is_torn |= at > 0;
                self.missing += 1;
                counter!(DROPPED).increment(1);
                return Ok(());
            }
            if std::mem::take(&mut self.is_torn) {
                self.to.write_all(b"\n")?;
            }
            self.to.write_all(piece)?;
        }
        self.to.flush()
    }
}

/// Takes a whole line at once, as `tracing` writes it.
impl<W: Write + AsFd> Write for &Lossy<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.state().write(line).map(|()| line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{PipeReader, PipeWriter, Read},
        time::Instant,
    };

    use super::*;

    /// More than a pipe holds.
    const LINES: usize = 2_000;

    fn line(number: usize) -> String {
        format!("{number:0>100}\n")
    }

    fn filled() -> (PipeReader, Lossy<PipeWriter>) {
        let (reader, writer) = io::pipe().unwrap();
        let lossy = Lossy::new(writer);
        for number in 0..LINES {
            (&lossy).write_all(line(number).as_bytes()).unwrap();
        }
        (reader, lossy)
    }

    #[test]
    fn a_reader_that_hangs_costs_one_wait_and_lines_that_are_counted() {
        let started = Instant::now();
        let (mut reader, lossy) = filled();
        assert!(started.elapsed() < PATIENCE * 20, "{:?}", started.elapsed());
        assert_eq!(lossy.missing(), 0, "it hangs");
        let mut taken = vec![0; PIECE * 2];
        reader.read_exact(&mut taken).unwrap();
        let missing = lossy.missing();
        (&lossy).write_all(b"later\n").unwrap();
        drop(lossy);
        let mut rest = Vec::new();
        reader.read_to_end(&mut rest).unwrap();
        let text = String::from_utf8([taken, rest].concat()).unwrap();
        let written = text.lines().count() - 1;
        assert_eq!(usize::try_from(missing).unwrap() + written, LINES);
        for (number, found) in text.lines().take(written).enumerate() {
            assert_eq!(format!("{found}\n"), line(number), "no line is torn");
        }
        assert!(text.ends_with("\nlater\n"));
    }

    #[test]
    fn a_line_that_was_cut_off_does_not_run_into_the_next() {
        let (mut reader, writer) = io::pipe().unwrap();
        let lossy = Lossy::new(writer);
        (&lossy).write_all(&vec![b'x'; 1 << 20]).unwrap();
        let mut taken = vec![0; PIECE * 2];
        reader.read_exact(&mut taken).unwrap();
        assert_eq!(lossy.missing(), 1);
        (&lossy).write_all(b"later\n").unwrap();
        drop(lossy);
        let mut rest = String::new();
        reader.read_to_string(&mut rest).unwrap();
        assert!(rest.ends_with("x\nlater\n"), "{rest:?}");
    }

    #[test]
    fn a_reader_that_has_gone_is_an_error_and_no_wait() {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let lossy = Lossy::new(writer);
        assert!((&lossy).write_all(b"line\n").is_err());
    }
}
