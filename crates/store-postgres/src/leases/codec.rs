//! Rows, read and written.

use sso_core::{
    ports::store::{Effect, Revocation, Revoked, Stamp},
    values::{KeyTag, SessionId, UserId, Version},
};
use time::OffsetDateTime;
use tokio_postgres::{Row, types::FromSql};
use uuid::Uuid;

use super::error::LeaseError;

pub(super) const SESSION: &str = "session";
pub(super) const USER: &str = "user";
pub(super) const KEY: &str = "key";

pub(super) fn get<'a, T: FromSql<'a>>(row: &'a Row, column: &'static str) -> Result<T, LeaseError> {
    row.try_get(column)
        .map_err(|_| LeaseError::Unreadable(column))
}

pub(super) fn timeline(row: &Row) -> Result<u32, LeaseError> {
    u32::try_from(get::<i64>(row, "timeline")?).map_err(|_| LeaseError::Unreadable("timeline"))
}

/// A row of `revocations`, as [`BEAT`](super::statements::BEAT) returns it.
pub(super) fn revocation(row: &Row) -> Result<Revocation, LeaseError> {
    let subject: Uuid = get(row, "subject")?;
    let revoked = match get(row, "kind")? {
        SESSION => Revoked::Session(SessionId::from_uuid(subject)),
        USER => {
            let version = u64::try_from(get::<i64>(row, "version")?);
            let version = version.map_err(|_| LeaseError::Unreadable("version"))?;
            Revoked::TokensBelow(UserId::from_uuid(subject), Version::new(version))
        }
        KEY => Revoked::Key(KeyTag::from_uuid(subject)),
        _ => return Err(LeaseError::Unreadable("kind")),
    };
    let effect = match get::<Option<&str>>(row, "effect")? {
        None => None,
        Some(text) => Some(Effect::parse(text).ok_or(LeaseError::Unreadable("effect"))?),
    };
    let xid: &str = get(row, "xid")?;
    Ok(Revocation {
        id: get(row, "id")?,
        revoked,
        effect,
        until: get(row, "until")?,
        stamp: Stamp {
            timeline: timeline(row)?,
            xid: xid.parse().map_err(|_| LeaseError::Unreadable("xid"))?,
        },
    })
}

/// Entries by column, as `unnest` takes them.
#[derive(Debug, Default)]
pub(super) struct Columns {
    pub(super) ids: Vec<i64>,
    pub(super) kinds: Vec<&'static str>,
    pub(super) subjects: Vec<Uuid>,
    pub(super) versions: Vec<Option<i64>>,
    pub(super) effects: Vec<Option<&'static str>>,
    pub(super) untils: Vec<OffsetDateTime>,
}

impl Columns {
    pub(super) fn push(&mut self, entry: &Revocation) {
        let (kind, subject, version) = match entry.revoked {
            Revoked::Session(session) => (SESSION, session.as_uuid(), None),
            Revoked::TokensBelow(user, below) => (USER, user.as_uuid(), Some(number(below))),
            Revoked::Key(key) => (KEY, key.as_uuid(), None),
        };
        self.ids.push(entry.id);
        self.kinds.push(kind);
        self.subjects.push(subject);
        self.versions.push(version);
        self.effects.push(entry.effect.map(Effect::as_str));
        self.untils.push(entry.until);
    }
}

/// A version as it is stored; what is beyond was never stored.
pub(super) fn number(version: Version) -> i64 {
    i64::try_from(version.get()).unwrap_or(i64::MAX - 1)
}
