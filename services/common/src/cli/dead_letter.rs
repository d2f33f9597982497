//! `dead-letter`: what was parked, and sending it again.

use std::fmt::Write;

use clap::Subcommand;
use serde_json::json;
use sso_kafka::consumer::dead_letter::{DeadLetter, DeadLetterError, DeadLetterTopic};

use super::Output;
use crate::{
    Exit, Failed,
    kafka::{self, Kafka},
};

/// Most that are listed or sent again at once.
const MOST: usize = 100_000;

#[derive(Debug, Subcommand)]
pub(super) enum DeadLetterCommand {
    /// List the events that were parked and not sent again since, oldest first.
    List {
        /// Most events to list.
        #[arg(long, default_value_t = 1000)]
        limit: usize,
        /// How to print.
        #[arg(long, value_enum, default_value_t)]
        output: Output,
    },
    /// Send events again to where they came from. Those of one user go on in order after that. By one
    /// person at a time: two would send what both have read twice.
    Resend {
        /// Which: PARTITION:OFFSET as `list` shows it, or an event's id.
        #[arg(required_unless_present = "all")]
        which: Vec<String>,
        /// All of them, but for those that were too large and have no value.
        #[arg(long, conflicts_with = "which")]
        all: bool,
    },
}

/// Runs one; what to print.
pub(super) async fn run(kafka: &Kafka, command: &DeadLetterCommand) -> Result<String, Failed> {
    let topic = DeadLetterTopic {
        connection: kafka::connection(kafka)?,
        name: kafka::dead_letters(kafka),
        group: kafka.own.group.clone(),
    };
    match command {
        DeadLetterCommand::List { limit, output } => {
            let letters = topic.list(*limit).await;
            Ok(shown(&letters.map_err(|error| of(&error))?, *output))
        }
        DeadLetterCommand::Resend { which, all } => {
            let letters = topic.list(MOST).await;
            let letters = letters.map_err(|error| of(&error))?;
            let chosen = choose(&letters, which, *all)?;
            let place = |letter: &&DeadLetter| (letter.partition, letter.offset);
            let places: Vec<_> = chosen.iter().map(place).collect();
            let registry = kafka::registry(kafka)?;
            let sent = topic.resend(&places, &registry).await;
            sent.map_err(|error| of(&error))?;
            Ok(format!("sent again: {}", places.len()))
        }
    }
}

fn choose<'a>(
    letters: &'a [DeadLetter],
    which: &[String],
    all: bool,
) -> Result<Vec<&'a DeadLetter>, Failed> {
    if all {
        return Ok(letters.iter().filter(|letter| !letter.left_out).collect());
    }
    let find = |name: &String| {
        let is_it =
            |letter: &&DeadLetter| place(letter) == *name || letter.event_id.as_ref() == Some(name);
        letters.iter().find(is_it).ok_or_else(|| {
            let text =
                format!("there is no unsettled dead letter {name:?}: see `dead-letter list`");
            Failed::new(Exit::Failure, text)
        })
    };
    which.iter().map(find).collect()
}

fn place(letter: &DeadLetter) -> String {
    format!("{}:{}", letter.partition, letter.offset)
}

fn shown(letters: &[DeadLetter], output: Output) -> String {
    match output {
        Output::Json => {
            let one = |letter: &DeadLetter| {
                json!({
                    "partition": letter.partition,
                    "offset": letter.offset,
                    "user_id": letter.key,
                    "event_id": letter.event_id,
                    "reason": letter.reason,
                    "topic": letter.topic,
                    "group": letter.group,
                    "left_out": letter.left_out,
                })
            };
            serde_json::Value::from(letters.iter().map(one).collect::<Vec<_>>()).to_string()
        }
        Output::Text if letters.is_empty() => "there are no dead letters".to_owned(),
        Output::Text => {
            let mut text = String::new();
            for letter in letters {
                let event = letter.event_id.as_deref().unwrap_or("-");
                let place = place(letter);
                // Whoever may write to the topic may write anything.
                let (event, key) = (event.escape_debug(), letter.key.escape_debug());
                let reason = letter.reason.escape_debug();
                let without = if letter.left_out {
                    "  (without its value)"
                } else {
                    ""
                };
                let _ = writeln!(
                    text,
                    "{place}  event {event}  user {key}  {reason}{without}"
                );
            }
            text
        }
    }
}

fn of(error: &DeadLetterError) -> Failed {
    let exit = match error {
        DeadLetterError::Settings(_) => Exit::Configuration,
        DeadLetterError::Kafka(_) => Exit::Unavailable,
        DeadLetterError::Unknown { .. } => Exit::Failure,
    };
    Failed::from_error(exit, error)
}
