//! The instances that a primary knows, for who asks what is wrong.

use std::{collections::HashMap, time::Duration};

use tokio_postgres::{Client, Error, Row};
use uuid::Uuid;

/// Between two looks: five beats of an instance that is well.
const BEATS: Duration = Duration::from_secs(1);

/// Instances, and what they wait for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instances {
    /// Those that are registered.
    pub registered: Vec<Registered>,
    /// Revocations that still matter.
    pub revocations: i64,
    /// Physical replication slots whose standby does not follow.
    pub missed: Vec<String>,
}

/// An instance that the others wait for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    /// Its host and process.
    pub name: String,
    /// Whether a beat of it came within a second.
    pub beats: bool,
    /// Whether it is on the timeline of this primary.
    pub is_here: bool,
}

const REGISTERED: &str = "
SELECT id, name, beat, timeline = current_timeline() AS here FROM readers ORDER BY registered_at";

const MATTER: &str = "SELECT count(*) AS revocations FROM revocations WHERE until >= now()";

const MISSED: &str = "
SELECT slot_name::text AS slot FROM pg_replication_slots
WHERE slot_type = 'physical' AND NOT temporary AND NOT active ORDER BY slot_name";

/// All of these, for the test that prepares each.
#[cfg(test)]
pub(crate) const STATEMENTS: &[&str] = &[REGISTERED, MATTER, MISSED];

/// Looks twice. An error where the database is not migrated.
pub(super) async fn instances(primary: &Client) -> Result<Instances, Error> {
    let before: HashMap<Uuid, i64> = primary
        .query(REGISTERED, &[])
        .await?
        .iter()
        .map(|row| Ok((row.try_get("id")?, row.try_get("beat")?)))
        .collect::<Result<_, Error>>()?;
    if !before.is_empty() {
        tokio::time::sleep(BEATS).await;
    }
    let now = primary.query(REGISTERED, &[]).await?;
    let missed = primary.query(MISSED, &[]).await?;
    Ok(Instances {
        registered: now
            .iter()
            .map(|row| Registered::read(row, &before))
            .collect::<Result<_, _>>()?,
        revocations: primary
            .query_one(MATTER, &[])
            .await?
            .try_get("revocations")?,
        missed: missed
            .iter()
            .map(|row| row.try_get("slot"))
            .collect::<Result<_, _>>()?,
    })
}

impl Registered {
    fn read(row: &Row, before: &HashMap<Uuid, i64>) -> Result<Self, Error> {
        let beat: i64 = row.try_get("beat")?;
        let id: Uuid = row.try_get("id")?;
        Ok(Self {
            name: row.try_get("name")?,
            // One that has just come is there.
            beats: before.get(&id).is_none_or(|before| beat > *before),
            is_here: row.try_get("here")?,
        })
    }
}
