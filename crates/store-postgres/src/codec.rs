//! Values of the domain as columns, and back.

use std::net::IpAddr;

use sso_core::{
    Agent,
    ports::store::{
        Actor, AuditRecord, AuditResult, Effect, EventStatus, KeyUse, PendingEvent, RetiredKey,
        Revocation, Revoked, SealedKey, Session, Stamp, StoredEvent, User, UserEvent,
    },
    values::{Birthday, Email, EventId, KeyTag, Name, PasswordHash, SessionId, UserId, Version},
};
use time::Date;
use tokio_postgres::{Row, types::FromSql};
use uuid::Uuid;

use crate::error::Fault;

/// What [`user`] reads, of `users AS u`.
macro_rules! user_columns {
    () => {
        "u.id, u.email, u.email_verified, u.password_hash, u.name, u.birthday, u.is_admin, \
         u.disabled, u.version, u.sessions_from, u.created_at"
    };
}

/// What [`session`] reads, of `sessions AS s`.
macro_rules! session_columns {
    () => {
        "s.id, s.user_id, s.version, s.generation, s.created_at, s.rotated_at, s.expires_at, \
         s.revoked_at, s.address, s.agent"
    };
}

/// What [`event`] reads, of `outbox AS o`.
macro_rules! event_columns {
    () => {
        "o.sequence, o.id, o.user_id, o.kind, o.payload, o.attempts, o.created_at, o.traceparent, \
         o.tracestate"
    };
}

/// What [`stored_event`] reads, of `outbox AS o`.
macro_rules! stored_event_columns {
    () => {
        "o.sequence, o.id, o.user_id, o.kind, o.status, o.skipped_at, o.attempts, o.created_at"
    };
}

/// What [`key`] reads, of `keys AS k`.
macro_rules! key_columns {
    () => {
        "k.id, k.usage, k.algorithm, k.sealed, k.created_at, k.signs_from"
    };
}

/// What [`retired_key`] reads, of `retired_keys AS r`.
macro_rules! retired_key_columns {
    () => {
        "r.id, r.usage, r.algorithm, r.created_at, r.signs_from, r.retired_at"
    };
}

/// What [`revocation`] reads, of `revocations AS r`.
macro_rules! revocation_columns {
    () => {
        "r.id, r.kind, r.subject, r.version, r.effect, r.until, r.timeline, r.xid::text"
    };
}

pub(crate) use {
    event_columns, key_columns, retired_key_columns, revocation_columns, session_columns,
    stored_event_columns, user_columns,
};

/// The columns of a row, taken one after the other.
pub(crate) struct Columns<'a> {
    row: &'a Row,
    next: usize,
}

impl<'a> Columns<'a> {
    /// From the first one.
    pub(crate) fn of(row: &'a Row) -> Self {
        Self { row, next: 0 }
    }

    /// The next one, as `name`.
    pub(crate) fn take<T: FromSql<'a>>(&mut self, name: &'static str) -> Result<T, Fault> {
        // The driver's text would show the value.
        let value = self.row.try_get(self.next);
        self.next += 1;
        value.map_err(|_| Fault::Undecodable(name))
    }

    fn unsigned(&mut self, name: &'static str) -> Result<u64, Fault> {
        u64::try_from(self.take::<i64>(name)?).map_err(|_| Fault::Undecodable(name))
    }

    fn attempts(&mut self) -> Result<u32, Fault> {
        u32::try_from(self.take::<i32>("attempts")?).map_err(|_| Fault::Undecodable("attempts"))
    }

    fn optional<T>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, Fault> {
        self.take::<Option<&str>>(name)?
            .map(|text| parse(text).ok_or(Fault::Undecodable(name)))
            .transpose()
    }

    fn parsed<T>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, Fault> {
        self.optional(name, parse)?.ok_or(Fault::Undecodable(name))
    }
}

/// A number as a column.
pub(crate) fn integer(what: &'static str, number: u64) -> Result<i64, Fault> {
    i64::try_from(number).map_err(|_| Fault::TooLarge(what))
}

/// A version as a column.
pub(crate) fn version(version: Version) -> Result<i64, Fault> {
    integer("version", version.get())
}

/// The first column, as it is.
pub(crate) fn scalar<T: for<'a> FromSql<'a>>(columns: &mut Columns<'_>) -> Result<T, Fault> {
    columns.take("scalar")
}

pub(crate) fn user(columns: &mut Columns<'_>) -> Result<User, Fault> {
    Ok(User {
        id: UserId::from_uuid(columns.take("users.id")?),
        email: columns.parsed("users.email", |text| Email::parse(text).ok())?,
        email_verified: columns.take("users.email_verified")?,
        password_hash: PasswordHash::new(columns.take::<String>("users.password_hash")?),
        name: columns.optional("users.name", |text| Name::parse(text).ok())?,
        birthday: columns
            .take::<Option<Date>>("users.birthday")?
            .map(Birthday::from_date),
        is_admin: columns.take("users.is_admin")?,
        disabled: columns.take("users.disabled")?,
        version: Version::new(columns.unsigned("users.version")?),
        sessions_from: Version::new(columns.unsigned("users.sessions_from")?),
        created_at: columns.take("users.created_at")?,
    })
}

pub(crate) fn session(columns: &mut Columns<'_>) -> Result<Session, Fault> {
    Ok(Session {
        id: SessionId::from_uuid(columns.take("sessions.id")?),
        user: UserId::from_uuid(columns.take("sessions.user_id")?),
        version: Version::new(columns.unsigned("sessions.version")?),
        generation: columns.unsigned("sessions.generation")?,
        created_at: columns.take("sessions.created_at")?,
        rotated_at: columns.take("sessions.rotated_at")?,
        expires_at: columns.take("sessions.expires_at")?,
        revoked_at: columns.take("sessions.revoked_at")?,
        address: columns.take("sessions.address")?,
        agent: columns.optional("sessions.agent", |text| Some(Agent::new(text)))?,
    })
}

/// [`user_columns`], then [`session_columns`].
pub(crate) fn user_and_session(columns: &mut Columns<'_>) -> Result<(User, Session), Fault> {
    Ok((user(columns)?, session(columns)?))
}

pub(crate) fn event(columns: &mut Columns<'_>) -> Result<PendingEvent, Fault> {
    Ok(PendingEvent {
        sequence: columns.take("outbox.sequence")?,
        id: EventId::from_uuid(columns.take("outbox.id")?),
        user: UserId::from_uuid(columns.take("outbox.user_id")?),
        kind: columns.take("outbox.kind")?,
        payload: columns.take("outbox.payload")?,
        attempts: columns.attempts()?,
        created_at: columns.take("outbox.created_at")?,
        traceparent: columns.take("outbox.traceparent")?,
        tracestate: columns.take("outbox.tracestate")?,
    })
}

pub(crate) fn stored_event(columns: &mut Columns<'_>) -> Result<StoredEvent, Fault> {
    Ok(StoredEvent {
        sequence: columns.take("outbox.sequence")?,
        id: EventId::from_uuid(columns.take("outbox.id")?),
        user: UserId::from_uuid(columns.take("outbox.user_id")?),
        kind: columns.take("outbox.kind")?,
        status: columns.parsed("outbox.status", EventStatus::parse)?,
        skipped_at: columns.take("outbox.skipped_at")?,
        attempts: columns.attempts()?,
        created_at: columns.take("outbox.created_at")?,
    })
}

pub(crate) fn user_event(columns: &mut Columns<'_>) -> Result<UserEvent, Fault> {
    Ok(UserEvent {
        sequence: columns.take("outbox.sequence")?,
        id: EventId::from_uuid(columns.take("outbox.id")?),
        kind: columns.take("outbox.kind")?,
        payload: columns.take("outbox.payload")?,
        status: columns.parsed("outbox.status", EventStatus::parse)?,
        attempts: columns.attempts()?,
        created_at: columns.take("outbox.created_at")?,
        delivered_at: columns.take("outbox.delivered_at")?,
    })
}

pub(crate) fn audit(columns: &mut Columns<'_>) -> Result<AuditRecord, Fault> {
    let result = |text: &str| {
        AuditResult::ALL
            .into_iter()
            .find(|result| result.as_str() == text)
    };
    Ok(AuditRecord {
        sequence: columns.take("audit.sequence")?,
        at: columns.take("audit.at")?,
        action: columns.take("audit.action")?,
        result: columns.parsed("audit.result", result)?,
        actor: actor(columns)?,
        user: columns
            .take::<Option<Uuid>>("audit.user_id")?
            .map(UserId::from_uuid),
        session: columns
            .take::<Option<Uuid>>("audit.session_id")?
            .map(SessionId::from_uuid),
        address: columns.take::<Option<IpAddr>>("audit.address")?,
        agent: columns.optional("audit.agent", |text| Some(Agent::new(text)))?,
        times: u32::try_from(columns.unsigned("audit.times")?)
            .map_err(|_| Fault::Undecodable("audit.times"))?,
        detail: columns.take("audit.detail")?,
    })
}

fn actor(columns: &mut Columns<'_>) -> Result<Actor, Fault> {
    let kind: &str = columns.take("audit.actor")?;
    let id: Option<Uuid> = columns.take("audit.actor_id")?;
    let name: Option<String> = columns.take("audit.actor_name")?;
    match (kind, id, name) {
        ("anonymous", ..) => Ok(Actor::Anonymous),
        ("user", Some(id), _) => Ok(Actor::User(UserId::from_uuid(id))),
        ("operator", ..) => Ok(Actor::Operator),
        ("service", _, Some(name)) => Ok(Actor::Service(name)),
        ("system", ..) => Ok(Actor::System),
        _ => Err(Fault::Undecodable("audit.actor")),
    }
}

pub(crate) fn key(columns: &mut Columns<'_>) -> Result<SealedKey, Fault> {
    Ok(SealedKey {
        id: columns.take("keys.id")?,
        usage: columns.parsed("keys.usage", key_use)?,
        algorithm: columns.take("keys.algorithm")?,
        sealed: columns.take("keys.sealed")?,
        created_at: columns.take("keys.created_at")?,
        signs_from: columns.take("keys.signs_from")?,
    })
}

pub(crate) fn retired_key(columns: &mut Columns<'_>) -> Result<RetiredKey, Fault> {
    Ok(RetiredKey {
        id: columns.take("retired_keys.id")?,
        usage: columns.parsed("retired_keys.usage", key_use)?,
        algorithm: columns.take("retired_keys.algorithm")?,
        created_at: columns.take("retired_keys.created_at")?,
        signs_from: columns.take("retired_keys.signs_from")?,
        retired_at: columns.take("retired_keys.retired_at")?,
    })
}

fn key_use(text: &str) -> Option<KeyUse> {
    KeyUse::ALL.into_iter().find(|usage| usage.as_str() == text)
}

pub(crate) fn revocation(columns: &mut Columns<'_>) -> Result<Revocation, Fault> {
    let id = columns.take("revocations.id")?;
    let kind: &str = columns.take("revocations.kind")?;
    let subject: Uuid = columns.take("revocations.subject")?;
    let below: Option<i64> = columns.take("revocations.version")?;
    let below = below.and_then(|below| u64::try_from(below).ok());
    let revoked = match (kind, below) {
        (SESSION, _) => Revoked::Session(SessionId::from_uuid(subject)),
        (USER, Some(below)) => {
            Revoked::TokensBelow(UserId::from_uuid(subject), Version::new(below))
        }
        (KEY, _) => Revoked::Key(KeyTag::from_uuid(subject)),
        _ => return Err(Fault::Undecodable("revocations.kind")),
    };
    Ok(Revocation {
        id,
        revoked,
        effect: columns.optional("revocations.effect", Effect::parse)?,
        until: columns.take("revocations.until")?,
        stamp: stamp(columns)?,
    })
}

pub(crate) fn stamp(columns: &mut Columns<'_>) -> Result<Stamp, Fault> {
    let timeline: i64 = columns.take("revocations.timeline")?;
    Ok(Stamp {
        timeline: u32::try_from(timeline)
            .map_err(|_| Fault::Undecodable("revocations.timeline"))?,
        xid: columns.parsed("revocations.xid", |text| text.parse().ok())?,
    })
}

/// `revocations.kind` of a session.
pub(crate) const SESSION: &str = "session";
/// `revocations.kind` of a user's tokens below a version.
pub(crate) const USER: &str = "user";
/// `revocations.kind` of a signing key.
pub(crate) const KEY: &str = "key";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_beyond_a_column_is_refused() {
        assert_eq!(integer("n", 7).unwrap(), 7);
        assert!(integer("n", u64::MAX).is_err());
    }
}
