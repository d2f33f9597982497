//! `sso audit`: who did what to whom.

use std::{collections::HashMap, time::Duration};

use clap::Args;
use serde_json::{Value, json};
use sso_core::{
    Agent, Caller, Failure, Sso,
    ports::store::{Actor, AuditAction, AuditPage, AuditRecord, AuditResult},
    usecases::{
        Named, administer,
        audit::{self, By, MAX_LISTED},
    },
    values::UserId,
};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{Output, output};
use crate::{
    config::Loaded,
    exit::{Exit, Failed},
    wiring::{self, Wait},
};

/// What people want to ask.
pub(super) const HELP: &str = "\
Refused logins and other things that strangers can repeat are summed up by account
and network: `times=17` on a line means so many since the line before.

Examples:
  sso audit                                   the newest 100 records
  sso audit --user ada@example.com            what was done to her account
  sso audit --actor operator --since 30d      what was done at the command line
  sso audit --action login --result refused --since 1h
  sso audit --before 4711                     the page before record 4711
  sso audit --output json --limit 10000 | jq";

#[derive(Debug, Args)]
pub(super) struct AuditArgs {
    /// Only what was done to this user: his e-mail address or id (also a deleted one's).
    #[arg(long, value_name = "USER", value_parser = named)]
    user: Option<Named>,
    /// Only what this one did: operator, anonymous, system, service:NAME, or a user.
    #[arg(long, value_name = "WHO", value_parser = by)]
    actor: Option<By>,
    /// Only this.
    #[arg(long, value_parser = AuditAction::ALL.map(AuditAction::as_str), hide_possible_values = false)]
    action: Option<String>,
    /// Only what came out so.
    #[arg(long, value_parser = AuditResult::ALL.map(AuditResult::as_str))]
    result: Option<String>,
    /// Only from this long ago (1h, 30d), or from this time (RFC 3339).
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<Moment>,
    /// Only until this long ago, or until this time.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<Moment>,
    /// Only what is older than this record: the number at the start of a line.
    #[arg(long, value_name = "NUMBER")]
    before: Option<i64>,
    /// At most this many, newest first.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_LISTED)))]
    limit: u32,
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// Prints a page of the log.
pub(super) fn run(loaded: &Loaded, args: &AuditArgs) -> Result<Exit, Failed> {
    let (records, people) = wiring::command(loaded, Wait::No, async |sso, operator| {
        let page = args.page(sso, operator).await?;
        let records = audit::list(sso, operator, &page).await?;
        let people = People::of(sso, operator, &records).await?;
        Ok((records, people))
    })?;
    match args.output {
        Output::Json => {
            let records = records.iter().map(|record| record_json(record, &people));
            output::print_line(&Value::from(records.collect::<Vec<_>>()).to_string());
        }
        Output::Text => {
            for record in &records {
                output::print_line(&line(record, &people));
            }
        }
    }
    Ok(Exit::Success)
}

impl AuditArgs {
    async fn page(&self, sso: &Sso, operator: &Caller) -> Result<AuditPage, Failure> {
        let now = sso.clock.now();
        let user = match &self.user {
            Some(user) => Some(audit::user_id(sso, operator, user).await?),
            None => None,
        };
        let actor = match &self.actor {
            Some(by) => Some(by.actor(sso, operator).await?),
            None => None,
        };
        let result = |name: &String| {
            AuditResult::ALL
                .into_iter()
                .find(|result| result.as_str() == name)
        };
        Ok(AuditPage {
            user,
            actor,
            action: self.action.clone(),
            result: self.result.as_ref().and_then(result),
            since: self.since.map(|moment| moment.time(now)),
            until: self.until.map(|moment| moment.time(now)),
            before: self.before,
            limit: self.limit,
        })
    }
}

/// A time as it is written.
#[derive(Debug, Clone, Copy)]
enum Moment {
    Ago(Duration),
    At(OffsetDateTime),
}

impl Moment {
    /// Before 1970 nothing was done.
    fn time(self, now: OffsetDateTime) -> OffsetDateTime {
        match self {
            Self::Ago(ago) => now
                .checked_sub(ago.try_into().unwrap_or(time::Duration::MAX))
                .unwrap_or(OffsetDateTime::UNIX_EPOCH),
            Self::At(time) => time,
        }
    }
}

fn named(text: &str) -> Result<Named, &'static str> {
    Named::parse(text).ok_or("a user is named by his e-mail address or his id, a UUID")
}

fn by(text: &str) -> Result<By, &'static str> {
    let why = "write operator, anonymous, system, service:NAME, or a user's e-mail address or id";
    By::parse(text).ok_or(why)
}

fn moment(text: &str) -> Result<Moment, &'static str> {
    if let Ok(ago) = humantime::parse_duration(text) {
        return Ok(Moment::Ago(ago));
    }
    OffsetDateTime::parse(text, &Rfc3339)
        .map(Moment::At)
        .map_err(|_| "write 1h, 30d or a time as in 2026-03-01T12:00:00Z")
}

/// What is done to no user.
const NOBODYS: [&str; 4] = [
    AuditAction::KeyRotate.as_str(),
    AuditAction::KeyRetire.as_str(),
    AuditAction::KeysReseal.as_str(),
    AuditAction::LogLevel.as_str(),
];

/// Addresses of those whom the records name by their ids.
struct People(HashMap<UserId, String>);

impl People {
    async fn of(sso: &Sso, operator: &Caller, records: &[AuditRecord]) -> Result<Self, Failure> {
        let mut people = HashMap::new();
        for id in records.iter().flat_map(ids) {
            if people.contains_key(&id) {
                continue;
            }
            match administer::find(sso, operator, &id.to_string()).await {
                Ok(user) => {
                    people.insert(id, user.email.as_typed().to_owned());
                }
                Err(administer::AdministerError::NotFound) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Self(people))
    }

    fn email(&self, id: UserId) -> Option<&str> {
        self.0.get(&id).map(String::as_str)
    }

    /// For a person: an address if there is one still, else the id.
    fn name(&self, id: UserId) -> String {
        self.email(id).map_or_else(|| id.to_string(), str::to_owned)
    }
}

fn ids(record: &AuditRecord) -> impl Iterator<Item = UserId> {
    let actor = match record.actor {
        Actor::User(id) => Some(id),
        _ => None,
    };
    record.user.into_iter().chain(actor)
}

/// A record as programs read it.
pub(super) fn record_json_without_people(record: &AuditRecord) -> Value {
    record_json(record, &People(HashMap::new()))
}

fn record_json(record: &AuditRecord, people: &People) -> Value {
    let (kind, id, name) = match &record.actor {
        Actor::Anonymous => ("anonymous", None, None),
        Actor::User(id) => ("user", Some(*id), None),
        Actor::Operator => ("operator", None, None),
        Actor::Service(name) => ("service", None, Some(name)),
        Actor::System => ("system", None, None),
    };
    json!({
        "sequence": record.sequence,
        "at": output::rfc3339(record.at),
        "action": record.action,
        "result": record.result.as_str(),
        "actor": kind,
        "actor_id": id.map(|id| id.to_string()),
        "actor_name": name,
        "user_id": record.user.map(|id| id.to_string()),
        "email": record.user.and_then(|id| people.email(id)),
        "session_id": record.session.map(|id| id.to_string()),
        "address": record.address.map(|address| address.to_string()),
        "agent": record.agent.as_ref().map(Agent::as_str),
        "times": record.times,
        "detail": record.detail,
    })
}

/// A record on one line for a person.
fn line(record: &AuditRecord, people: &People) -> String {
    let by = match &record.actor {
        Actor::Anonymous => "anonymous".to_owned(),
        Actor::User(id) if record.user == Some(*id) => "himself".to_owned(),
        Actor::User(id) => people.name(*id),
        Actor::Operator => "operator".to_owned(),
        Actor::Service(name) => format!("service:{}", output::printable(name)),
        Actor::System => "system".to_owned(),
    };
    let user = match record.user {
        Some(id) => people.name(id),
        None if NOBODYS.contains(&record.action.as_str()) => "-".to_owned(),
        None => "unknown".to_owned(),
    };
    let mut line = format!(
        "{:>6}  {}  {:<7}  {:<17}  {user}  by {by}",
        record.sequence,
        seconds(record.at),
        record.result.as_str(),
        output::printable(&record.action),
    );
    if let Some(address) = record.address {
        line = format!("{line}  from {address}");
    }
    if let Some(agent) = &record.agent {
        line = format!("{line}  with {:?}", agent.as_str());
    }
    if record.times > 1 {
        line = format!("{line}  times={}", record.times);
    }
    if let Some(detail) = &record.detail {
        line = format!("{line}  ({})", output::printable(detail));
    }
    line
}

fn seconds(time: OffsetDateTime) -> String {
    let time = time.to_utc();
    let time = time.replace_nanosecond(0).unwrap_or(time);
    time.format(&Rfc3339).unwrap_or_default()
}
