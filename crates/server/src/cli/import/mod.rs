//! `sso user import`: users of another system, with the hashes that it has.

mod arguments;
mod checkpoint;
mod duplicates;
mod lines;
mod record;
mod report;

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufReader, IsTerminal, Seek, SeekFrom},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use indicatif::{ProgressBar, ProgressStyle};
use sso_core::{
    Caller, Failure, Kind, Sso,
    ports::store::{Imported, ImportedUser},
    usecases::import,
    values::Email,
};
use sso_crypto::sha256;

pub(super) use self::arguments::{Format, HELP, ImportArgs};
use self::{
    checkpoint::{Checkpoint, State},
    duplicates::{Addresses, Duplicates},
    lines::{Line, Lines, MAX_LINE},
    record::{Parser, Record},
    report::{Counts, Left, Report},
};
use crate::{
    config::Loaded,
    exit::{Exit, Failed},
    wiring::{self, Wait},
};

/// Lines of one transaction.
const CHUNK: usize = 1000;

/// Imports, and exits 1 if somebody was refused.
pub(super) fn run(loaded: &Loaded, args: &ImportArgs) -> Result<Exit, Failed> {
    let report = wiring::command(loaded, Wait::No, async |sso, operator| {
        // The embedded database's folder is its owner's only; with PostgreSQL there is none.
        let folder = if loaded.config.database.url.is_embedded() {
            loaded.config.data_dir.clone()
        } else {
            std::env::temp_dir()
        };
        let source = open(&args.file, &folder).map_err(|error| cannot(&args.file, &error))?;
        Import {
            sso,
            operator,
            args,
            source,
        }
        .run()
        .await
    })?;
    report.print(args.output, args.dry_run);
    report.warn();
    Ok(if report.counts.refused > 0 {
        Exit::Failure
    } else {
        Exit::Success
    })
}

struct Import<'a> {
    sso: &'a Sso,
    operator: &'a Caller,
    args: &'a ImportArgs,
    source: File,
}

/// What the first reading found.
struct Survey {
    duplicates: Duplicates,
    digest: String,
    bytes: u64,
}

/// Some lines.
#[derive(Default)]
struct Chunk {
    /// Users to be stored together, each with his line.
    users: Vec<(u64, ImportedUser)>,
    /// Lines that have none.
    refused: Vec<Left>,
    /// The last of them; `None` at the end.
    reached: Option<u64>,
}

impl Import<'_> {
    async fn run(self) -> Result<Report, Failure> {
        let survey = self.survey()?;
        let (dry_run, file) = (self.args.dry_run, self.args.checkpoint.as_deref());
        if dry_run && self.args.report.is_some() && file.is_some_and(Path::exists) {
            return Err(invalid(
                "an import is to go on from the checkpoint, and its report must not be begun anew: leave \
                 --report or --checkpoint out of the dry run",
            ));
        }
        // A dry run judges all, and keeps nothing.
        let checkpoint = Checkpoint::new(file.filter(|_| !dry_run).map(Path::to_owned));
        let resumed = checkpoint.load(&survey.digest).map_err(invalid)?;
        let (done, counts) = resumed
            .as_ref()
            .map_or((0, Counts::default()), |state| (state.line, state.counts));
        let file = self.args.report.as_deref();
        let mut report = Report::new(file, counts, resumed.is_some())
            .map_err(|error| cannot(file.unwrap_or(Path::new("-")), &error))?;

        let progress = progress("importing", survey.bytes);
        let mut lines = self.lines()?;
        let parser = self.parser(&mut lines)?;
        loop {
            let chunk = self.chunk(&parser, &survey, &mut lines, done)?;
            let Some(line) = chunk.reached else { break };
            self.store(chunk, &mut report).await?;
            progress.set_position(lines.bytes());
            keep(report.flush())?;
            let state = State {
                digest: survey.digest.clone(),
                line,
                counts: report.counts,
            };
            keep(checkpoint.save(&state))?;
        }
        progress.finish_and_clear();
        checkpoint.remove();
        Ok(report)
    }

    /// The next lines after `done`.
    fn chunk(
        &self,
        parser: &Parser,
        survey: &Survey,
        lines: &mut Lines<BufReader<&File>>,
        done: u64,
    ) -> Result<Chunk, Failure> {
        let mut chunk = Chunk::default();
        let mut read = 0;
        while read < CHUNK {
            let Some((number, line)) = lines.next().map_err(|error| self.cannot_read(&error))?
            else {
                break;
            };
            if number <= done {
                continue;
            }
            read += 1;
            chunk.reached = Some(number);
            match self.judge(parser, &survey.duplicates, number, line) {
                Ok(user) => chunk.users.push((number, user)),
                Err(left) => chunk.refused.push(left),
            }
        }
        Ok(chunk)
    }

    /// Reads everything once: whose address is not his alone, and which input this is.
    fn survey(&self) -> Result<Survey, Failure> {
        let size = self.source.metadata().map_or(0, |metadata| metadata.len());
        let progress = progress("checking", size);
        let mut lines = self.lines()?;
        let parser = self.parser(&mut lines)?;
        let mut addresses = Addresses::default();
        let mut digest = [0; 32];
        while let Some((number, line)) = lines.next().map_err(|error| self.cannot_read(&error))? {
            let Line::Text(text) = line else { continue };
            digest = sha256(&[&digest[..], &sha256(text)[..]].concat());
            let email = parser.parse(text).ok().and_then(|record| email_of(&record));
            if let Some(email) = email {
                addresses.add(&email, number);
            }
            if number.is_multiple_of(1000) {
                progress.set_position(lines.bytes());
            }
        }
        progress.finish_and_clear();
        Ok(Survey {
            duplicates: addresses.duplicates(),
            digest: STANDARD.encode(digest),
            bytes: lines.bytes(),
        })
    }

    /// The user of a line, or why it has none.
    fn judge(
        &self,
        parser: &Parser,
        duplicates: &Duplicates,
        number: u64,
        line: Line<'_>,
    ) -> Result<ImportedUser, Left> {
        let left = |email: Option<&Email>, code, reason: String| Left {
            line: number,
            email: email.map(|email| email.as_typed().to_owned()),
            code,
            reason,
        };
        let Line::Text(text) = line else {
            let reason = format!("the line is longer than {MAX_LINE} bytes");
            return Err(left(None, "too_long", reason));
        };
        let record = parser
            .parse(text)
            .map_err(|bad| left(None, "malformed", bad.into_owned()))?;
        let email = email_of(&record);
        if let Some(other) = duplicates.get(&number) {
            let reason = format!("the same address, but for its case, stands on line {other}");
            return Err(left(email.as_ref(), "duplicate", reason));
        }
        import::parse(self.sso, &record.input()).map_err(|bad| {
            let code = match bad.0.as_slice() {
                [only] => only.code,
                _ => "invalid",
            };
            let reasons: Vec<_> = bad.0.iter().map(|field| &*field.error).collect();
            left(email.as_ref(), code, reasons.join("; "))
        })
    }

    /// Stores the users, and reports of all lines in their order. Not before: if they are not stored
    /// these lines come again.
    async fn store(&self, chunk: Chunk, report: &mut Report) -> Result<(), Failure> {
        let mut refused = chunk.refused.into_iter().peekable();
        let (numbers, users): (Vec<_>, Vec<_>) = chunk.users.into_iter().unzip();
        let outcomes = if self.args.dry_run || users.is_empty() {
            vec![Imported::Stored; users.len()]
        } else {
            import::import(self.sso, self.operator, &users).await?
        };
        for ((line, user), outcome) in numbers.into_iter().zip(users).zip(outcomes) {
            while let Some(left) = refused.next_if(|left| left.line < line) {
                keep(report.refused(left))?;
            }
            let left = |code, reason: &str| Left {
                line,
                email: Some(user.email.as_typed().to_owned()),
                code,
                reason: reason.to_owned(),
            };
            let written = match outcome {
                Imported::Stored => {
                    report.imported(import::shows_by_time(self.sso, &user.password_hash));
                    Ok(())
                }
                Imported::Present => report.present(left("present", "is there already")),
                Imported::EmailTaken => report.refused(left(
                    "user_exists",
                    "another user has this address, perhaps in another case",
                )),
                Imported::IdTaken => report.refused(left("id_taken", "another user has this id")),
                Imported::IdDeleted => {
                    report.refused(left("id_deleted", "this id was a deleted user's"))
                }
            };
            keep(written)?;
        }
        for left in refused {
            keep(report.refused(left))?;
        }
        Ok(())
    }

    /// From the first line.
    fn lines(&self) -> Result<Lines<BufReader<&File>>, Failure> {
        let mut source = &self.source;
        source
            .seek(SeekFrom::Start(0))
            .map_err(|error| self.cannot_read(&error))?;
        Ok(Lines::new(BufReader::with_capacity(256 * 1024, source)))
    }

    /// Takes the header from a table.
    fn parser(&self, lines: &mut Lines<BufReader<&File>>) -> Result<Parser, Failure> {
        if self.args.from == Format::JsonLines {
            return Parser::new(self.args.from, None).map_err(invalid);
        }
        let header = lines.next().map_err(|error| self.cannot_read(&error))?;
        let header = match header {
            Some((_, Line::Text(header))) => header,
            _ => b"",
        };
        Parser::new(self.args.from, Some(header)).map_err(invalid)
    }

    fn cannot_read(&self, error: &io::Error) -> Failure {
        cannot(&self.args.file, error)
    }
}

/// Neither the report nor the checkpoint may be lost silently.
fn keep<T>(written: io::Result<T>) -> Result<T, Failure> {
    written.map_err(|error| {
        invalid(format!(
            "the report or checkpoint cannot be written: {error}"
        ))
    })
}

fn email_of(record: &Record) -> Option<Email> {
    record
        .email
        .as_deref()
        .and_then(|text| Email::parse(text).ok())
}

/// The file; what comes from standard input is kept where it can be read twice, under no name,
/// beside the database that will hold it anyway.
fn open(path: &Path, folder: &Path) -> io::Result<File> {
    if path != Path::new("-") {
        let file = File::open(path)?;
        if file.metadata()?.is_file() {
            return Ok(file);
        }
        return spool(file, folder);
    }
    spool(io::stdin().lock(), folder)
}

fn spool(mut from: impl io::Read, folder: &Path) -> io::Result<File> {
    let name = folder.join(format!("import.{}", std::process::id()));
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&name)?;
    fs::remove_file(&name)?;
    io::copy(&mut from, &mut file)?;
    Ok(file)
}

/// On a terminal only.
fn progress(what: &'static str, bytes: u64) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let template = "{msg} {wide_bar} {percent}% {bytes}/{total_bytes}, {eta} left";
    let style = ProgressStyle::with_template(template);
    ProgressBar::new(bytes)
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        .with_message(what)
}

fn cannot(path: &Path, error: &io::Error) -> Failure {
    invalid(format!("{}: {error}", path.display()))
}

fn invalid(why: impl Into<std::borrow::Cow<'static, str>>) -> Failure {
    Failure::new(Kind::Invalid, "invalid_request", why)
}
