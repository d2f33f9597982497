//! Whom somebody has forgotten, in the service's own database. An event of such a user may still be on its
//! way, or come again: it would bring him back.

use deadpool_postgres::Transaction;
use rusqlite::params;
use uuid::Uuid;

use super::StoreError;
use crate::world::now;

/// Migrations of a service that make the table.
pub const SQLITE: &str = include_str!("../../migrations/forgotten.sqlite.sql");
/// The same for PostgreSQL.
pub const POSTGRES: &str = include_str!("../../migrations/forgotten.postgres.sql");

/// Whether a user is forgotten. Who acts on an event asks in the transaction that acts.
pub fn holds_in_sqlite(tx: &rusqlite::Transaction<'_>, user: Uuid) -> rusqlite::Result<bool> {
    const HOLDS: &str = "SELECT EXISTS (SELECT 1 FROM forgotten WHERE user_id = ?1)";
    let mut statement = tx.prepare_cached(HOLDS)?;
    statement.query_row([user.into_bytes()], |row| row.get(0))
}

/// From now on a user is forgotten, also one that nobody has heard of.
pub fn add_in_sqlite(tx: &rusqlite::Transaction<'_>, user: Uuid) -> rusqlite::Result<()> {
    const ADD: &str = "INSERT OR IGNORE INTO forgotten (user_id, at) VALUES (?1, ?2)";
    let values = params![user.into_bytes(), now().unix_timestamp()];
    tx.execute(ADD, values).map(drop)
}

/// As [`holds_in_sqlite`]. Who forgets this user waits until the transaction ends: he would not see what it
/// has made, nor it that the user is forgotten.
pub async fn holds_in_postgres(tx: &Transaction<'_>, user: Uuid) -> Result<bool, StoreError> {
    const SHARE: &str = "SELECT pg_advisory_xact_lock_shared(hashtextextended($1::uuid::text, 0))";
    // By itself: a statement sees what was there when it began, and the one above may have waited.
    const HOLDS: &str = "SELECT EXISTS (SELECT FROM forgotten WHERE user_id = $1)";
    let share = tx.prepare_cached(SHARE).await?;
    tx.query_one(&share, &[&user]).await?;
    let holds = tx.prepare_cached(HOLDS).await?;
    Ok(tx.query_one(&holds, &[&user]).await?.get(0))
}

/// As [`add_in_sqlite`]. It comes first in its transaction: it waits for those that act on an event of this
/// user, and what they have made is seen after it.
pub async fn add_in_postgres(tx: &Transaction<'_>, user: Uuid) -> Result<(), StoreError> {
    const TAKE: &str = "SELECT pg_advisory_xact_lock(hashtextextended($1::uuid::text, 0))";
    const ADD: &str = "INSERT INTO forgotten (user_id) VALUES ($1) ON CONFLICT DO NOTHING";
    tx.query_one(TAKE, &[&user]).await?;
    Ok(tx.execute(ADD, &[&user]).await.map(drop)?)
}
