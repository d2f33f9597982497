//! How the process ends.

use std::{error::Error as StdError, process::ExitCode};

use crate::Problems;

/// The contract's exit codes (those of sysexits.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0, also after SIGTERM.
    Success,
    /// 1: anything that has no code of its own.
    Failure,
    /// 64: the command line is wrong.
    Usage,
    /// 65: what is stored is damaged.
    DataDamaged,
    /// 69: a port or another dependency is not to be had.
    Unavailable,
    /// 78: the configuration is wrong.
    Configuration,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Success => 0,
            Exit::Failure => 1,
            Exit::Usage => 64,
            Exit::DataDamaged => 65,
            Exit::Unavailable => 69,
            Exit::Configuration => 78,
        })
    }
}

/// Why the process ends without having done what it was asked: one clear sentence with the remedy.
#[derive(Debug)]
pub struct Failed {
    exit: Exit,
    message: String,
}

impl Failed {
    /// Ends with `exit` and this sentence.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
        }
    }

    /// Ends with `exit`, an error and what caused it.
    pub fn from_error(exit: Exit, error: &dyn StdError) -> Self {
        Self::new(exit, sentence(error))
    }

    /// The same with another sentence.
    #[must_use]
    pub fn reworded(self, reword: impl FnOnce(&str) -> String) -> Self {
        Self {
            message: reword(&self.message),
            ..self
        }
    }

    /// How the process ends for it.
    pub const fn exit(&self) -> Exit {
        self.exit
    }

    /// The sentence.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Tells the person at the terminal.
    #[expect(clippy::print_stderr, reason = "the last word of a command line")]
    pub fn report(&self, program: &str) -> Exit {
        eprintln!("{program}: {}", self.message);
        self.exit
    }
}

/// An error and what caused it, nothing twice.
pub fn sentence(error: &dyn StdError) -> String {
    let mut message = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        if !message.contains(&text) {
            message = format!("{message}: {text}");
        }
        source = cause.source();
    }
    message
}

impl From<Problems> for Failed {
    fn from(problems: Problems) -> Self {
        Self::new(Exit::Configuration, problems.to_string())
    }
}
