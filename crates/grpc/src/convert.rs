//! Rows to messages of `sso.v1`. What a row does not have is empty.

use prost_types::Timestamp;
use sso_core::{
    Agent,
    ports::store::{self, StoredEvent},
    values::Name,
};
use time::OffsetDateTime;

use crate::proto::v1::{Event, Session, User};

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

fn timestamp(time: OffsetDateTime) -> Timestamp {
    Timestamp {
        seconds: time.unix_timestamp(),
        // Below 10^9.
        nanos: time.nanosecond().cast_signed(),
    }
}
