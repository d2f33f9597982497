//! What commands print.

use std::{
    fmt::Display,
    io::{self, ErrorKind, Write as _},
    sync::{Mutex, PoisonError},
};

use crate::exit::{Exit, Failed};

/// Why something could not be printed, the first time.
static LOST: Mutex<Option<io::Error>> = Mutex::new(None);

/// Prints a line. A reader who has gone (`| head`) wants no more, which is no failure; what else is in the way
/// is told by [`end`]: what a command has done is done.
pub fn say(line: impl Display) {
    let mut output = io::stdout().lock();
    let said = writeln!(output, "{line}").and_then(|()| output.flush());
    if let Err(error) = said
        && error.kind() != ErrorKind::BrokenPipe
    {
        let mut lost = LOST.lock().unwrap_or_else(PoisonError::into_inner);
        lost.get_or_insert(error);
    }
}

/// Tells a person something beside what the command prints, on standard error. It is no failure, and
/// neither is it one that nobody can be told.
pub fn note(line: impl Display) {
    drop(writeln!(io::stderr().lock(), "{line}"));
}

/// To be asked when a command has ended: whether all that it said was taken.
pub fn end() -> Result<(), Failed> {
    let lost = LOST.lock().unwrap_or_else(PoisonError::into_inner).take();
    lost.map_or(Ok(()), |error| {
        let text = format!("the command did its work, and its output cannot be written: {error}");
        Err(Failed::new(Exit::Failure, text))
    })
}
