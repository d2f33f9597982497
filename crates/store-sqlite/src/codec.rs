//! Values of the domain as columns, and back.
//!
//! Rows are read by column name, so that a binary can serve a database to which a newer one has
//! added columns.

use std::net::IpAddr;

use rusqlite::{Row, types::FromSql};
use sso_core::{
    Agent,
    ports::store::{
        Actor, AuditRecord, AuditResult, EventStatus, KeyUse, PendingEvent, RetiredKey, Revocation,
        Revoked, SealedKey, Session, Stamp, StoredEvent, User, UserEvent,
    },
    values::{Birthday, Email, EventId, KeyTag, Name, PasswordHash, SessionId, UserId, Version},
};
use time::{Date, OffsetDateTime, macros::format_description};
use uuid::Uuid;

use crate::fault::Fault;

/// Microseconds since 1970. Every time that the type can hold fits.
pub(crate) fn micros(time: OffsetDateTime) -> i64 {
    time.unix_timestamp() * 1_000_000 + i64::from(time.microsecond())
}

/// A number as a column.
pub(crate) fn integer(what: &'static str, number: u64) -> Result<i64, Fault> {
    i64::try_from(number).map_err(|_| Fault::TooLarge(what))
}

/// A version as a column.
pub(crate) fn version(version: Version) -> Result<i64, Fault> {
    integer("version", version.get())
}

pub(crate) fn user(row: &Row<'_>) -> Result<User, Fault> {
    Ok(User {
        id: UserId::from_uuid(uuid(row, "id")?),
        email: parsed(row, "email", |text| Email::parse(text).ok())?,
        email_verified: get(row, "email_verified")?,
        password_hash: PasswordHash::new(get::<String>(row, "password_hash")?),
        name: optional(row, "name", |text| Name::parse(text).ok())?,
        birthday: optional(row, "birthday", day)?,
        is_admin: get(row, "is_admin")?,
        disabled: get(row, "disabled")?,
        version: Version::new(unsigned(row, "version")?),
        sessions_from: Version::new(unsigned(row, "sessions_from")?),
        created_at: time(row, "created_at")?,
    })
}

pub(crate) fn session(row: &Row<'_>) -> Result<Session, Fault> {
    Ok(Session {
        id: SessionId::from_uuid(uuid(row, "id")?),
        user: UserId::from_uuid(uuid(row, "user_id")?),
        version: Version::new(unsigned(row, "version")?),
        generation: unsigned(row, "generation")?,
        created_at: time(row, "created_at")?,
        rotated_at: time(row, "rotated_at")?,
        expires_at: time(row, "expires_at")?,
        revoked_at: optional_time(row, "revoked_at")?,
        address: optional(row, "address", |text| text.parse::<IpAddr>().ok())?,
        agent: optional(row, "agent", |text| Some(Agent::new(text)))?,
    })
}

pub(crate) fn event(row: &Row<'_>) -> Result<PendingEvent, Fault> {
    Ok(PendingEvent {
        sequence: get(row, "sequence")?,
        id: EventId::from_uuid(uuid(row, "id")?),
        user: UserId::from_uuid(uuid(row, "user_id")?),
        kind: get(row, "kind")?,
        payload: get(row, "payload")?,
        attempts: attempts(row)?,
        created_at: time(row, "created_at")?,
        traceparent: get(row, "traceparent")?,
        tracestate: get(row, "tracestate")?,
    })
}

pub(crate) fn stored_event(row: &Row<'_>) -> Result<StoredEvent, Fault> {
    Ok(StoredEvent {
        sequence: get(row, "sequence")?,
        id: EventId::from_uuid(uuid(row, "id")?),
        user: UserId::from_uuid(uuid(row, "user_id")?),
        kind: get(row, "kind")?,
        status: parsed(row, "status", EventStatus::parse)?,
        skipped_at: optional_time(row, "skipped_at")?,
        attempts: attempts(row)?,
        created_at: time(row, "created_at")?,
    })
}

fn attempts(row: &Row<'_>) -> Result<u32, Fault> {
    u32::try_from(unsigned(row, "attempts")?).map_err(|_| Fault::Undecodable("attempts"))
}

pub(crate) fn user_event(row: &Row<'_>) -> Result<UserEvent, Fault> {
    Ok(UserEvent {
        sequence: get(row, "sequence")?,
        id: EventId::from_uuid(uuid(row, "id")?),
        kind: get(row, "kind")?,
        payload: get(row, "payload")?,
        status: parsed(row, "status", EventStatus::parse)?,
        attempts: attempts(row)?,
        created_at: time(row, "created_at")?,
        delivered_at: optional_time(row, "delivered_at")?,
    })
}

pub(crate) fn audit(row: &Row<'_>) -> Result<AuditRecord, Fault> {
    let result = |text: &str| {
        AuditResult::ALL
            .into_iter()
            .find(|result| result.as_str() == text)
    };
    Ok(AuditRecord {
        sequence: get(row, "sequence")?,
        at: time(row, "at")?,
        action: get(row, "action")?,
        result: parsed(row, "result", result)?,
        actor: actor(row)?,
        user: optional_uuid(row, "user_id")?.map(UserId::from_uuid),
        session: optional_uuid(row, "session_id")?.map(SessionId::from_uuid),
        address: optional(row, "address", |text| text.parse::<IpAddr>().ok())?,
        agent: optional(row, "agent", |text| Some(Agent::new(text)))?,
        times: u32::try_from(unsigned(row, "times")?).map_err(|_| Fault::Undecodable("times"))?,
        detail: get(row, "detail")?,
    })
}

fn actor(row: &Row<'_>) -> Result<Actor, Fault> {
    match get::<String>(row, "actor")?.as_str() {
        "anonymous" => Ok(Actor::Anonymous),
        "user" => Ok(Actor::User(UserId::from_uuid(uuid(row, "actor_id")?))),
        "operator" => Ok(Actor::Operator),
        "service" => Ok(Actor::Service(get(row, "actor_name")?)),
        "system" => Ok(Actor::System),
        _ => Err(Fault::Undecodable("actor")),
    }
}

pub(crate) fn key(row: &Row<'_>) -> Result<SealedKey, Fault> {
    Ok(SealedKey {
        id: get(row, "id")?,
        usage: parsed(row, "usage", key_use)?,
        algorithm: get(row, "algorithm")?,
        sealed: get(row, "sealed")?,
        created_at: time(row, "created_at")?,
        signs_from: time(row, "signs_from")?,
    })
}

pub(crate) fn retired_key(row: &Row<'_>) -> Result<RetiredKey, Fault> {
    Ok(RetiredKey {
        id: get(row, "id")?,
        usage: parsed(row, "usage", key_use)?,
        algorithm: get(row, "algorithm")?,
        created_at: time(row, "created_at")?,
        signs_from: time(row, "signs_from")?,
        retired_at: time(row, "retired_at")?,
    })
}

fn key_use(text: &str) -> Option<KeyUse> {
    KeyUse::ALL.into_iter().find(|usage| usage.as_str() == text)
}

pub(crate) fn revocation(row: &Row<'_>) -> Result<Revocation, Fault> {
    let subject = uuid(row, "subject")?;
    let revoked = match get::<String>(row, "kind")?.as_str() {
        SESSION => Revoked::Session(SessionId::from_uuid(subject)),
        USER => Revoked::TokensBelow(
            UserId::from_uuid(subject),
            Version::new(unsigned(row, "version")?),
        ),
        KEY => Revoked::Key(KeyTag::from_uuid(subject)),
        _ => return Err(Fault::Undecodable("kind")),
    };
    let id: i64 = get(row, "id")?;
    Ok(Revocation {
        id,
        revoked,
        // There is no failover that could lose it.
        effect: None,
        until: time(row, "until")?,
        stamp: stamp(id),
    })
}

/// Of the entry with this id, the newest that is visible to whoever sees it.
pub(crate) fn stamp(id: i64) -> Stamp {
    Stamp {
        timeline: 0,
        xid: id.unsigned_abs(),
    }
}

/// `revocations.kind` of a session.
pub(crate) const SESSION: &str = "session";
/// `revocations.kind` of a user's tokens below a version.
pub(crate) const USER: &str = "user";
/// `revocations.kind` of a signing key.
pub(crate) const KEY: &str = "key";

fn get<T: FromSql>(row: &Row<'_>, column: &'static str) -> Result<T, Fault> {
    row.get(column).map_err(|error| match error {
        // Its text would show the value.
        rusqlite::Error::FromSqlConversionFailure(..) => Fault::Undecodable(column),
        other => Fault::Sql(other),
    })
}

fn uuid(row: &Row<'_>, column: &'static str) -> Result<Uuid, Fault> {
    get::<[u8; 16]>(row, column).map(Uuid::from_bytes)
}

fn optional_uuid(row: &Row<'_>, column: &'static str) -> Result<Option<Uuid>, Fault> {
    Ok(get::<Option<[u8; 16]>>(row, column)?.map(Uuid::from_bytes))
}

fn optional_time(row: &Row<'_>, column: &'static str) -> Result<Option<OffsetDateTime>, Fault> {
    get::<Option<i64>>(row, column)?
        .map(|micros| moment(column, micros))
        .transpose()
}

fn unsigned(row: &Row<'_>, column: &'static str) -> Result<u64, Fault> {
    u64::try_from(get::<i64>(row, column)?).map_err(|_| Fault::Undecodable(column))
}

fn time(row: &Row<'_>, column: &'static str) -> Result<OffsetDateTime, Fault> {
    moment(column, get(row, column)?)
}

pub(crate) fn moment(column: &'static str, micros: i64) -> Result<OffsetDateTime, Fault> {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1_000)
        .map_err(|_| Fault::Undecodable(column))
}

fn parsed<T>(
    row: &Row<'_>,
    column: &'static str,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Result<T, Fault> {
    optional(row, column, parse)?.ok_or(Fault::Undecodable(column))
}

fn optional<T>(
    row: &Row<'_>,
    column: &'static str,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Result<Option<T>, Fault> {
    get::<Option<String>>(row, column)?
        .map(|text| parse(&text).ok_or(Fault::Undecodable(column)))
        .transpose()
}

fn day(text: &str) -> Option<Birthday> {
    Date::parse(text, format_description!("[year]-[month]-[day]"))
        .ok()
        .map(Birthday::from_date)
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn a_time_keeps_its_microseconds_before_and_after_1970() {
        for time in [
            datetime!(2026-01-02 03:04:05.678901 UTC),
            datetime!(1900-01-01 00:00:00.000001 UTC),
            datetime!(9999-12-31 23:59:59.999999 UTC),
        ] {
            assert_eq!(moment("t", micros(time)).unwrap(), time);
        }
    }

    #[test]
    fn a_time_out_of_range_is_undecodable() {
        assert!(moment("t", i64::MAX).is_err());
        assert!(integer("n", u64::MAX).is_err());
    }
}
