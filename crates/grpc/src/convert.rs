//! Rows to messages of `sso.v1`. What a row does not have is empty.

use prost_types::Timestamp;
use sso_core::{
    Agent,
    ports::store::{self, Actor, StoredEvent},
    usecases::keys::Listed,
    values::Name,
};
use time::OffsetDateTime;

use crate::proto::v1::{AuditRecord, Event, Key, Session, User};

/// A user. No hash, ever.
pub(crate) fn user(row: &store::User) -> User {
    let name = row.name.as_ref().map(Name::as_str);
    User {
        user_id: row.id.to_string(),
        email: row.email.as_typed().to_owned(),
        email_verified: row.email_verified,
        name: name.unwrap_or_default().to_owned(),
        birthday: row.birthday.map_or_else(String::new, |day| day.to_string()),
        is_admin: row.is_admin,
        disabled: row.disabled,
        created_at: Some(timestamp(row.created_at)),
        version: row.version.get(),
    }
}

/// A session.
pub(crate) fn session(row: &store::Session) -> Session {
    let agent = row.agent.as_ref().map(Agent::as_str);
    Session {
        session_id: row.id.to_string(),
        created_at: Some(timestamp(row.created_at)),
        last_used_at: Some(timestamp(row.rotated_at)),
        expires_at: Some(timestamp(row.expires_at)),
        address: row.address.map_or_else(String::new, |ip| ip.to_string()),
        agent: agent.unwrap_or_default().to_owned(),
    }
}

/// An event.
pub(crate) fn event(row: &StoredEvent) -> Event {
    Event {
        event_id: row.id.to_string(),
        user_id: row.user.to_string(),
        r#type: row.kind.clone(),
        status: row.status.as_str().to_owned(),
        skipped: row.skipped_at.is_some(),
        attempts: row.attempts,
        created_at: Some(timestamp(row.created_at)),
    }
}

/// A key. No private part, ever.
pub(crate) fn key(key: &Listed) -> Key {
    Key {
        key_id: key.id.clone(),
        r#use: key.usage.as_str().to_owned(),
        algorithm: key.algorithm.clone(),
        state: key.state.as_str().to_owned(),
        created_at: Some(timestamp(key.created_at)),
        signs_from: Some(timestamp(key.signs_from)),
        retired_at: key.retired_at.map(timestamp),
    }
}

/// A record of the audit log.
pub(crate) fn record(row: &store::AuditRecord) -> AuditRecord {
    let text = |text: Option<String>| text.unwrap_or_default();
    AuditRecord {
        // Above zero: they are counted from 1.
        sequence: row.sequence.unsigned_abs(),
        at: Some(timestamp(row.at)),
        action: row.action.clone(),
        result: row.result.as_str().to_owned(),
        actor: match &row.actor {
            Actor::Anonymous => "anonymous".to_owned(),
            Actor::User(id) => id.to_string(),
            Actor::Operator => "operator".to_owned(),
            Actor::Service(name) => format!("service:{name}"),
            Actor::System => "system".to_owned(),
        },
        user_id: text(row.user.map(|id| id.to_string())),
        session_id: text(row.session.map(|id| id.to_string())),
        address: text(row.address.map(|address| address.to_string())),
        agent: text(row.agent.as_ref().map(Agent::to_string)),
        times: row.times,
        detail: text(row.detail.clone()),
    }
}

/// A time of a message; `None` where it is none of the years 1 to 9999.
pub(crate) fn time_of(time: &Timestamp) -> Option<OffsetDateTime> {
    let nanos = u32::try_from(time.nanos)
        .ok()
        .filter(|n| *n < 1_000_000_000)?;
    let time = OffsetDateTime::from_unix_timestamp(time.seconds).ok()?;
    let time = time.replace_nanosecond(nanos).ok()?;
    (1..=9999).contains(&time.year()).then_some(time)
}

fn timestamp(time: OffsetDateTime) -> Timestamp {
    Timestamp {
        seconds: time.unix_timestamp(),
        // Below 10^9.
        nanos: time.nanosecond().cast_signed(),
    }
}
