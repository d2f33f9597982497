//! What the command lines of our programs have in common.

use crate::{
    exit::{Exit, Failed},
    output,
};

/// The end of a program's help.
pub const EXIT_CODES: &str = "\
    Exit codes: 0 done; 64 wrong usage; 65 stored data is damaged; 69 a port or another\n\
    dependency cannot be had; 78 wrong configuration; 1 anything else.";

/// Parses what `--set` takes.
pub fn key_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write it as KEY=VALUE")?;
    Ok((key.trim().to_owned(), value.to_owned()))
}

/// Does with `dispatch` what was asked of `program`, if that was understood, and says how it ended.
pub fn run<C>(
    program: &str,
    parsed: Result<C, clap::Error>,
    dispatch: impl FnOnce(C) -> Result<Exit, Failed>,
) -> Exit {
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no errors; they go to standard output.
            let _ = error.print();
            return if error.use_stderr() {
                Exit::Usage
            } else {
                Exit::Success
            };
        }
    };
    let ended = dispatch(cli).and_then(|exit| output::end().map(|()| exit));
    ended.unwrap_or_else(|failed| failed.report(program))
}
