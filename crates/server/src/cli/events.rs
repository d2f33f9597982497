//! `sso events`: what becomes of events such as a registration.

use std::io::{self, BufWriter, Write};

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use sso_core::{
    Failure, Fields,
    ports::store::{EventStatus, StoredEvent},
    usecases::{
        Ask, MAX_PAGE,
        events::{self, EventsError},
    },
    values::EventId,
};

use super::{
    Output, OutputArgs,
    output::{print_line, rfc3339},
};
use crate::{
    config::Loaded,
    exit::{Exit, Failed},
    wiring::{self, Wait},
};

#[derive(Debug, Subcommand)]
pub(super) enum EventsCommand {
    /// List events in the order they were stored.
    List {
        /// Only those of this status: inProgress, Success or Failed.
        #[arg(long, value_parser = status)]
        status: Option<EventStatus>,
        /// At most this many; all without it.
        #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
        limit: Option<u64>,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Have a failed event delivered again; the later ones of its user follow it.
    Resend(TargetArgs),
    /// Give a failed event up, for good: the later ones of its user go on without it.
    Skip(TargetArgs),
}

/// Which event.
#[derive(Debug, Args)]
pub(super) struct TargetArgs {
    /// The event's id, as `sso events list` prints it.
    #[arg(value_parser = id)]
    event: EventId,
    #[command(flatten)]
    output: OutputArgs,
}

/// Runs one of the commands.
pub(super) fn run(loaded: &Loaded, command: EventsCommand) -> Result<Exit, Failed> {
    match command {
        EventsCommand::List {
            status,
            limit,
            output,
        } => list(loaded, status, limit.unwrap_or(u64::MAX), output.output)?,
        EventsCommand::Resend(target) => {
            let event = wiring::command(loaded, Wait::No, async |sso, operator| {
                Ok(events::resend(sso, operator, target.event).await?)
            })?;
            target.print(&event, "will be delivered again");
        }
        EventsCommand::Skip(target) => {
            let event = wiring::command(loaded, Wait::No, async |sso, operator| {
                Ok(events::skip(sso, operator, target.event).await?)
            })?;
            target.print(&event, "is skipped: it stays Failed and holds back nothing");
        }
    }
    Ok(Exit::Success)
}

/// Prints page by page: there may be more events than memory.
fn list(
    loaded: &Loaded,
    status: Option<EventStatus>,
    limit: u64,
    output: Output,
) -> Result<(), Failed> {
    let mut printer = Printer::new(output);
    let status = status.map_or("", EventStatus::as_str);
    wiring::command(loaded, Wait::No, async |sso, operator| {
        let (mut left, mut cursor) = (limit, String::new());
        loop {
            let size = u32::try_from(left).unwrap_or(MAX_PAGE).min(MAX_PAGE);
            let ask = Ask {
                limit: size,
                cursor: &cursor,
            };
            let page = events::page(sso, operator, status, ask, Fields::default()).await;
            let page = page.map_err(|error: EventsError| Failure::from(error))?;
            left -= page.items.len() as u64;
            let next = page.next.filter(|_| left > 0);
            let written = printer.page(&page.items, next.is_none());
            match (written, next) {
                // Who reads has seen enough.
                (Err(error), _) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
                (Err(error), _) => return Err(Failure::internal(error)),
                (Ok(()), Some(next)) => cursor = next,
                (Ok(()), None) => return Ok(()),
            }
        }
    })
}

/// Writes a list while it is read.
struct Printer {
    out: BufWriter<io::Stdout>,
    output: Output,
    first: bool,
}

impl Printer {
    fn new(output: Output) -> Self {
        Self {
            out: BufWriter::new(io::stdout()),
            output,
            first: true,
        }
    }

    fn page(&mut self, events: &[StoredEvent], last: bool) -> io::Result<()> {
        for event in events {
            match self.output {
                Output::Json => {
                    let before = if self.first { "[" } else { ",\n" };
                    write!(self.out, "{before}{}", event_json(event))?;
                }
                Output::Text => writeln!(self.out, "{}", event_line(event))?,
            }
            self.first = false;
        }
        match (self.output, self.first) {
            (Output::Json, true) if last => writeln!(self.out, "[]")?,
            (Output::Json, false) if last => writeln!(self.out, "]")?,
            _ => {}
        }
        self.out.flush()
    }
}

impl TargetArgs {
    fn print(&self, event: &StoredEvent, what: &str) {
        match self.output.output {
            Output::Json => print_line(&event_json(event).to_string()),
            Output::Text => print_line(&format!("{} of {}: {what}", event.id, event.user)),
        }
    }
}

/// The contract's members; `skipped` only where it is true.
fn event_json(event: &StoredEvent) -> Value {
    let mut members = json!({
        "event_id": event.id.to_string(),
        "user_id": event.user.to_string(),
        "status": event.status.as_str(),
        "attempts": event.attempts,
        "created_at": rfc3339(event.created_at),
    });
    if event.skipped_at.is_some() {
        members["skipped"] = json!(true);
    }
    members
}

fn event_line(event: &StoredEvent) -> String {
    let skipped = if event.skipped_at.is_some() {
        " skipped"
    } else {
        ""
    };
    format!(
        "{}  {}  {}  {}  {} attempts  {}{skipped}",
        event.id,
        event.user,
        rfc3339(event.created_at),
        event.kind,
        event.attempts,
        event.status.as_str(),
    )
}

fn status(text: &str) -> Result<EventStatus, &'static str> {
    EventStatus::parse(text).ok_or("it is one of inProgress, Success, Failed")
}

fn id(text: &str) -> Result<EventId, String> {
    EventId::parse(text).map_err(|error| error.to_string())
}
