//! Which events are parked, in the service's own database.

use std::time::Duration;

use async_trait::async_trait;
use rusqlite::params;
use sso_kafka::consumer::{ParkedKeys, Place};

use super::{Opened, StoreError, postgres::Postgres, sqlite::Sqlite};
use crate::world::now;

/// Migrations of a service that make the table.
pub const SQLITE: &str = include_str!("../../migrations/parked.sqlite.sql");
/// The same for PostgreSQL.
pub const POSTGRES: &str = include_str!("../../migrations/parked.postgres.sql");

/// How long a record stays parked that nobody sends again. Its dead letter is gone by then, or the
/// person that it is of has better things to wait for.
const KEPT: Duration = Duration::from_hours(90 * 24);
/// Most records that are remembered, the newest; older ones hold back nothing any more.
const MOST: i64 = 100_000;

/// Those of one topic and one group.
pub(crate) struct Parked {
    pub(crate) database: Opened,
    pub(crate) topic: String,
    pub(crate) group: String,
}

#[async_trait]
impl ParkedKeys for Parked {
    /// What nobody has sent again for long is forgotten first.
    async fn all(&self) -> Result<Vec<(Place, Vec<u8>)>, String> {
        let all = match &self.database {
            Opened::Sqlite(sqlite) => self.all_in_sqlite(sqlite).await,
            Opened::Postgres(postgres) => {
                let work = self.all_in_postgres(postgres);
                self.database.limited(work).await
            }
        };
        all.map_err(|error| error.to_string())
    }

    async fn park(&self, place: Place, key: &[u8]) -> Result<(), String> {
        let parked = match &self.database {
            Opened::Sqlite(sqlite) => self.park_in_sqlite(sqlite, place, key).await,
            Opened::Postgres(postgres) => {
                let work = self.park_in_postgres(postgres, place, key);
                self.database.limited(work).await
            }
        };
        parked.map_err(|error| error.to_string())
    }

    async fn release(&self, place: Place) -> Result<(), String> {
        let released = match &self.database {
            Opened::Sqlite(sqlite) => self.release_in_sqlite(sqlite, place).await,
            Opened::Postgres(postgres) => {
                let work = self.release_in_postgres(postgres, place);
                self.database.limited(work).await
            }
        };
        released.map_err(|error| error.to_string())
    }
}

impl Parked {
    async fn all_in_sqlite(&self, sqlite: &Sqlite) -> Result<Vec<(Place, Vec<u8>)>, StoreError> {
        const ALL: &str = "
            SELECT partition, record, key FROM parked WHERE topic = ?1 AND consumer_group = ?2
            ORDER BY at DESC LIMIT ?3";
        const CLEAN: &str = "DELETE FROM parked WHERE at < ?1";
        let (topic, group) = (self.topic.clone(), self.group.clone());
        let kept = i64::try_from(KEPT.as_secs()).unwrap_or(i64::MAX);
        let oldest = now().unix_timestamp().saturating_sub(kept);
        sqlite
            .write(move |tx| {
                tx.execute(CLEAN, [oldest])?;
                let mut statement = tx.prepare_cached(ALL)?;
                let rows = statement.query_map(params![topic, group, MOST], |row| {
                    let (partition, offset) = (row.get(0)?, row.get(1)?);
                    Ok((Place { partition, offset }, row.get(2)?))
                })?;
                rows.collect()
            })
            .await
    }

    async fn park_in_sqlite(
        &self,
        sqlite: &Sqlite,
        place: Place,
        key: &[u8],
    ) -> Result<(), StoreError> {
        const PARK: &str = "INSERT OR IGNORE INTO parked VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let (topic, group, key) = (self.topic.clone(), self.group.clone(), key.to_vec());
        let at = now().unix_timestamp();
        sqlite
            .write(move |tx| {
                let values = params![topic, group, place.partition, place.offset, key, at];
                tx.execute(PARK, values).map(drop)
            })
            .await
    }

    async fn release_in_sqlite(&self, sqlite: &Sqlite, place: Place) -> Result<(), StoreError> {
        const RELEASE: &str = "
            DELETE FROM parked
            WHERE topic = ?1 AND consumer_group = ?2 AND partition = ?3 AND record = ?4";
        let (topic, group) = (self.topic.clone(), self.group.clone());
        sqlite
            .write(move |tx| {
                let values = params![topic, group, place.partition, place.offset];
                tx.execute(RELEASE, values).map(drop)
            })
            .await
    }

    async fn all_in_postgres(
        &self,
        postgres: &Postgres,
    ) -> Result<Vec<(Place, Vec<u8>)>, StoreError> {
        const ALL: &str = "
            SELECT partition, record, key FROM parked WHERE topic = $1 AND consumer_group = $2
            ORDER BY at DESC LIMIT $3";
        const CLEAN: &str = "DELETE FROM parked WHERE at < now() - $1 * interval '1 second'";
        let client = postgres.get().await?;
        client.execute(CLEAN, &[&KEPT.as_secs_f64()]).await?;
        let statement = client.prepare_cached(ALL).await?;
        let rows = client
            .query(&statement, &[&self.topic, &self.group, &MOST])
            .await?;
        let row = |row: &tokio_postgres::Row| {
            let (partition, offset) = (row.get(0), row.get(1));
            (Place { partition, offset }, row.get(2))
        };
        Ok(rows.iter().map(row).collect())
    }

    async fn park_in_postgres(
        &self,
        postgres: &Postgres,
        place: Place,
        key: &[u8],
    ) -> Result<(), StoreError> {
        const PARK: &str = "
            INSERT INTO parked (topic, consumer_group, partition, record, key)
            VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING";
        let client = postgres.get().await?;
        let Place { partition, offset } = place;
        let values: [&(dyn tokio_postgres::types::ToSql + Sync); 5] =
            [&self.topic, &self.group, &partition, &offset, &key];
        Ok(client.execute(PARK, &values).await.map(drop)?)
    }

    async fn release_in_postgres(
        &self,
        postgres: &Postgres,
        place: Place,
    ) -> Result<(), StoreError> {
        const RELEASE: &str = "
            DELETE FROM parked
            WHERE topic = $1 AND consumer_group = $2 AND partition = $3 AND record = $4";
        let client = postgres.get().await?;
        let Place { partition, offset } = place;
        let values: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
            [&self.topic, &self.group, &partition, &offset];
        Ok(client.execute(RELEASE, &values).await.map(drop)?)
    }
}
