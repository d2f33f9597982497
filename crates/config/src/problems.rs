//! What is wrong with a configuration.

use std::{collections::BTreeSet, fmt};

use crate::sources::Origin;

/// More are counted, not listed.
const MOST: usize = 100;
/// A foreign name is shown up to this many characters.
const NAME: usize = 80;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    /// The key (`http.listen`), or what else has the problem: a variable, a file.
    pub subject: String,
    /// Where its value came from, if that is not the subject itself.
    pub origin: Option<Origin>,
    /// What is right: the rest of the sentence. Never a value.
    pub text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Some(origin) => write!(f, "{} ({origin}): {}", self.subject, self.text),
            None => write!(f, "{}: {}", self.subject, self.text),
        }
    }
}

/// Everything that is wrong, in the order it was found. Displays one a line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Problems {
    listed: Vec<Problem>,
    more: usize,
    keys: BTreeSet<String>,
}

impl Problems {
    /// Adds a problem with the value of a key.
    pub fn of_key(&mut self, key: &str, origin: Origin, text: impl Into<String>) {
        self.keys.insert(key.to_owned());
        self.add(key.to_owned(), Some(origin), text.into());
    }

    /// Adds a problem with something that is no key of ours; its name is made safe to print.
    pub fn of_other(&mut self, name: &str, origin: Option<Origin>, text: impl Into<String>) {
        self.add(printable(name), origin, text.into());
    }

    /// Counts one more without listing it.
    pub(crate) fn count(&mut self) {
        self.more += 1;
    }

    fn add(&mut self, subject: String, origin: Option<Origin>, text: String) {
        if self.is_full() {
            self.count();
        } else {
            self.listed.push(Problem {
                subject,
                origin,
                text,
            });
        }
    }

    /// Whether further problems are only counted.
    pub(crate) fn is_full(&self) -> bool {
        self.listed.len() >= MOST
    }

    /// Whether the value of `key` is known to be wrong: rules about it would only confuse.
    pub fn concern(&self, key: &str) -> bool {
        self.keys.contains(key)
    }

    /// `value`, unless there is a problem.
    pub(crate) fn unless_any<T>(self, value: T) -> Result<T, Self> {
        if self.listed.is_empty() {
            Ok(value)
        } else {
            Err(self)
        }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.listed.iter().enumerate() {
            let end = if at == 0 { "" } else { "\n" };
            write!(f, "{end}{problem}")?;
        }
        if self.more > 0 {
            write!(f, "\n... and {} more", self.more)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// A foreign name on one line, and not too long.
pub(crate) fn printable(name: &str) -> String {
    let mut shown: String = name
        .chars()
        .take(NAME)
        .flat_map(char::escape_debug)
        .collect();
    if name.chars().nth(NAME).is_some() {
        shown.push_str("...");
    }
    shown
}
