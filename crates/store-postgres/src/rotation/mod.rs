//! The use of a refresh token: a compare-and-swap of its session's generation.

mod together;

use sso_core::ports::{
    StoreError,
    store::{Rotate, Rotated, Rotation},
};
use time::OffsetDateTime;

use crate::{
    codec::{self, Columns, integer, session_columns, user_columns},
    error::Fault,
    query::first,
    store::PostgresStore,
};

pub(crate) use together::Rotations;

/// The compare-and-swap, with both rows as they are after it.
const ROTATE: &str = concat!(
    "UPDATE sessions s SET generation = $2 + 1, rotated_at = $3
     FROM users u
     WHERE s.id = $1 AND u.id = s.user_id AND s.generation <= $2 AND s.revoked_at IS NULL
       AND s.expires_at > $3 AND ($4::timestamptz IS NULL OR s.rotated_at > $4)
       AND s.version >= u.sessions_from AND NOT u.disabled
     RETURNING ",
    user_columns!(),
    ", ",
    session_columns!()
);

/// Why it moved nothing: the rows, and from when the grace of a rotation counts at the earliest on
/// this timeline; a timeline that nobody has met before is met now.
const MISSED: &str = concat!(
    "WITH met AS (INSERT INTO timelines (timeline)
                  SELECT current_timeline()
                  WHERE NOT EXISTS (SELECT 1 FROM timelines t WHERE t.timeline = current_timeline())
                  ON CONFLICT DO NOTHING
                  RETURNING since)
     SELECT ",
    user_columns!(),
    ", ",
    session_columns!(),
    ", greatest(s.rotated_at, (SELECT since FROM met),
                (SELECT t.since FROM timelines t WHERE t.timeline = current_timeline()))
     FROM sessions s JOIN users u ON u.id = s.user_id WHERE s.id = $1"
);

#[cfg(test)]
pub(crate) const STATEMENTS: &[&str] = &[ROTATE, MISSED, together::ROTATE_ALL];

fn rotated(columns: &mut Columns<'_>) -> Result<Rotated, Fault> {
    let (user, session) = codec::user_and_session(columns)?;
    Ok(Rotated { session, user })
}

/// The rows that a rotation could not move, and from when the grace counts.
fn missed(columns: &mut Columns<'_>) -> Result<(Rotated, OffsetDateTime), Fault> {
    Ok((rotated(columns)?, columns.take("greatest(rotated_at)")?))
}

impl PostgresStore {
    /// One use by itself, which waits where somebody else has the row of its session. May be sent twice: the
    /// second time finds it done, which within the grace is the same answer.
    async fn rotate_alone(&self, of: &Rotate) -> Result<Rotation, StoreError> {
        let id = of.session.as_uuid();
        let generation = integer("generation", of.generation)?;
        let moved = self
            .again(ROTATE, &[&id, &generation, &of.now, &of.used_after])
            .await?;
        if let Some(rows) = first(&moved, rotated)? {
            return Ok(Rotation::Rotated(Box::new(rows)));
        }
        let met = self.again(MISSED, &[&id]).await?;
        Ok(match first(&met, missed)? {
            Some((rows, from)) => of.missed(rows, from),
            None => Rotation::Unknown,
        })
    }
}
