//! What was not imported, and why.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufWriter, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sso_config::output::note;

use crate::cli::{Output, output};

/// Most lines that are printed; the report file has all.
const PRINTED: usize = 100;

/// How many.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Counts {
    pub(super) imported: u64,
    /// Were there already.
    pub(super) present: u64,
    pub(super) refused: u64,
}

/// A line whose user was not imported. Never holds a hash.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Left {
    pub(super) line: u64,
    /// If the line has a valid one.
    pub(super) email: Option<String>,
    pub(super) code: &'static str,
    pub(super) reason: String,
}

/// Counts, prints the first, writes all to a file.
pub(super) struct Report {
    pub(super) counts: Counts,
    present: Vec<Left>,
    refused: Vec<Left>,
    file: Option<BufWriter<File>>,
    /// Imported by this run, with hashes that [show by time](sso_core::usecases::import::shows_by_time).
    slow: u64,
}

impl Report {
    /// A report that goes on from `counts`; the file is continued then, and begun anew otherwise.
    pub(super) fn new(file: Option<&Path>, counts: Counts, resumed: bool) -> io::Result<Self> {
        let open = |path: &Path| {
            // It holds addresses.
            let mut options = OpenOptions::new();
            options.create(true).write(true).mode(0o600);
            options.append(resumed).truncate(!resumed);
            options.open(path).map(BufWriter::new)
        };
        Ok(Self {
            counts,
            present: Vec::new(),
            refused: Vec::new(),
            file: file.map(open).transpose()?,
            slow: 0,
        })
    }

    pub(super) fn imported(&mut self, is_slow: bool) {
        self.counts.imported += 1;
        self.slow += u64::from(is_slow);
    }

    pub(super) fn present(&mut self, left: Left) -> io::Result<()> {
        self.counts.present += 1;
        self.write(&left)?;
        if self.present.len() < PRINTED {
            self.present.push(left);
        }
        Ok(())
    }

    pub(super) fn refused(&mut self, left: Left) -> io::Result<()> {
        self.counts.refused += 1;
        self.write(&left)?;
        if self.refused.len() < PRINTED {
            self.refused.push(left);
        }
        Ok(())
    }

    fn write(&mut self, left: &Left) -> io::Result<()> {
        let Some(file) = &mut self.file else {
            return Ok(());
        };
        serde_json::to_writer(&mut *file, left)?;
        file.write_all(b"\n")
    }

    /// Before a checkpoint counts on what is in the file.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.file.as_mut().map_or(Ok(()), Write::flush)
    }

    pub(super) fn print(&self, output: Output, dry_run: bool) {
        match output {
            Output::Json => output::print_line(&self.json(dry_run).to_string()),
            Output::Text => self.text(dry_run),
        }
    }

    /// What is not wrong and yet should be known, on standard error.
    pub(super) fn warn(&self) {
        if self.slow > 0 {
            note(format_args!(
                "{} of them have hashes that take longer than failed logins wait: until each has signed in \
                 once, a failed login tells by its time that there is such a user. A higher \
                 login.failure_floor hides them.",
                self.slow
            ));
        }
    }

    fn json(&self, dry_run: bool) -> Value {
        json!({
            "dry_run": dry_run,
            "imported": self.counts.imported,
            "present": self.counts.present,
            "refused": self.counts.refused,
            "present_lines": self.present,
            "refused_lines": self.refused,
        })
    }

    fn text(&self, dry_run: bool) {
        let Counts {
            imported,
            present,
            refused,
        } = self.counts;
        for (lines, all) in [(&self.refused, refused), (&self.present, present)] {
            for Left {
                line,
                email,
                reason,
                ..
            } in lines
            {
                let email = email.as_deref().unwrap_or("-");
                output::print_line(&format!("line {line}: {email}: {reason}"));
            }
            let more = all.saturating_sub(lines.len() as u64);
            if more > 0 {
                output::print_line(&format!("and {more} more: --report FILE has all of them"));
            }
        }
        let verb = if dry_run {
            "could be imported"
        } else {
            "imported"
        };
        output::print_line(&format!(
            "{imported} {verb}, {present} already there, {refused} refused"
        ));
    }
}
