//! What became of the registrations: one event each, a mail at least, points exactly once.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use prost::Message;
use sso_events::registration::RegistrationMessage;
use sso_testkit::{
    history::{Action, Call, Outcome},
    servers::{Node, SmtpSink, kafka::Kafka},
};
use tokio::time::sleep;

use crate::system::TOPIC;

/// How long the last of them may take when nothing harms any more.
const PATIENCE: Duration = Duration::from_mins(10);
/// Before a protobuf message: a zero, the schema's id, and the index of the first message.
const WIRE_HEADER: usize = 6;

/// Counts at the end.
#[derive(Debug, Default)]
pub(crate) struct Delivered {
    /// Registrations that were acknowledged.
    pub(crate) acknowledged: usize,
    /// Records in the topic.
    pub(crate) records: usize,
    /// Acknowledged registrations without a record.
    pub(crate) lost: usize,
    /// Users with more than one event id.
    pub(crate) contradictory: usize,
    /// Acknowledged registrations without a mail.
    pub(crate) unmailed: usize,
    /// Mails beyond the first of a user.
    pub(crate) mailed_again: usize,
    /// Events in the topic whose points were not credited.
    pub(crate) uncredited: usize,
    /// Users who were credited more than once.
    pub(crate) credited_again: usize,
    /// What the ledger does not sum to: 0.
    pub(crate) ledger: i64,
    /// How long after the end of the load it took.
    pub(crate) took: Duration,
}

impl Delivered {
    /// What must not be.
    pub(crate) fn broken(&self) -> Vec<String> {
        [
            ("events lost", self.lost),
            ("users with several events", self.contradictory),
            ("registrations without a mail", self.unmailed),
            ("events without points", self.uncredited),
            ("users with points twice", self.credited_again),
        ]
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .map(|(what, count)| format!("{count} {what}"))
        .chain((self.ledger != 0).then(|| format!("the ledger sums to {}", self.ledger)))
        .collect()
    }
}

/// Looks again until nothing is missing, or nobody would wait longer.
pub(crate) async fn check(
    calls: &[Call],
    kafka: &Kafka,
    mail: &SmtpSink,
    postgres: &Node,
) -> Result<Delivered> {
    let users = acknowledged(calls);
    let began = Instant::now();
    loop {
        let mut found = look(&users, kafka, mail, postgres).await?;
        found.took = began.elapsed();
        let missing = found.lost + found.unmailed + found.uncredited;
        if missing == 0 || began.elapsed() > PATIENCE {
            return Ok(found);
        }
        sleep(Duration::from_secs(2)).await;
    }
}

fn acknowledged(calls: &[Call]) -> HashSet<String> {
    let registered = calls.iter().filter_map(|call| match &call.action {
        Action::Register { user, .. } if matches!(call.outcome, Outcome::Done { .. }) => {
            Some(format!("{user}@example.com"))
        }
        _ => None,
    });
    registered.collect()
}

async fn look(
    users: &HashSet<String>,
    kafka: &Kafka,
    mail: &SmtpSink,
    postgres: &Node,
) -> Result<Delivered> {
    let records = kafka.consume_all(TOPIC).await?;
    let mut events: HashMap<String, HashSet<String>> = HashMap::new();
    for record in &records {
        let value = record.value.as_deref().unwrap_or_default();
        let message = value.get(WIRE_HEADER..).context("a short record")?;
        let message = RegistrationMessage::decode(message)?;
        let ids = events.entry(message.email).or_default();
        ids.insert(message.event_id);
    }
    let mut mails: HashMap<String, usize> = HashMap::new();
    for to in mail.recipients() {
        *mails.entry(to).or_default() += 1;
    }
    let sql = "SELECT event_id FROM transfers WHERE kind = 'welcome'";
    let credited = postgres.execute_in("loyalty", sql).await?;
    let credited: HashSet<_> = credited.lines().map(str::trim).collect();
    let sql = "SELECT count(*) FROM (SELECT account_id FROM entries e JOIN transfers t
               ON t.id = e.transfer_id WHERE t.kind = 'welcome' AND e.account_id <> 1
               GROUP BY account_id HAVING count(*) > 1) twice";
    let twice = postgres.execute_in("loyalty", sql).await?;
    let sum = postgres.execute_in("loyalty", "SELECT coalesce(sum(points), 0) FROM entries");
    let ids = events.values().flatten();
    Ok(Delivered {
        acknowledged: users.len(),
        records: records.len(),
        lost: users
            .iter()
            .filter(|user| !events.contains_key(*user))
            .count(),
        contradictory: events.values().filter(|ids| ids.len() > 1).count(),
        unmailed: users
            .iter()
            .filter(|user| !mails.contains_key(*user))
            .count(),
        mailed_again: mails.values().map(|count| count - 1).sum(),
        uncredited: ids.filter(|id| !credited.contains(id.as_str())).count(),
        credited_again: twice.trim().parse()?,
        ledger: sum.await?.trim().parse()?,
        took: Duration::ZERO,
    })
}
