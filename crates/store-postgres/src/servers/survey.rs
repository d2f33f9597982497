//! A look at every server for who asks what is wrong: nothing is assumed, and nothing changed.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio_postgres::{Client, Row};

use super::{Instances, OpenError, Role, Settings, address::Address, instances::instances};

/// Longest wait for a replica to show what the primary had committed.
const PATIENCE: Duration = Duration::from_secs(2);
/// Between two looks at it.
const PAUSE: Duration = Duration::from_millis(10);

/// An address, and who answers there.
#[derive(Debug, Clone)]
pub struct Surveyed {
    /// As a person writes it.
    pub name: String,
    /// It is one of `database.replicas`.
    pub replica: bool,
    /// Or why nobody can be asked.
    pub found: Result<Found, String>,
}

/// Who answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The cluster.
    pub system: i64,
    /// What it is.
    pub role: Role,
    /// Of a replica: that of its last restartpoint.
    pub timeline: i32,
    /// As `server_version` says it.
    pub version: String,
    /// The role that we are there.
    pub user: String,
    /// Whether that role sees how far the standbys are (`pg_read_all_stats`).
    pub sees_standbys: bool,
    /// What a commit of the primary waits for.
    pub synchrony: Synchrony,
    /// Its replay was stopped by somebody.
    pub paused: bool,
    /// Of a replica: how long it took to show what the primary had committed; `None`: it did not
    /// within 2 seconds, or there was no primary.
    pub behind: Option<Duration>,
    /// Of the primary of the highest timeline: the instances that it knows; `None`: the database is
    /// not migrated.
    pub instances: Option<Instances>,
}

/// What a commit waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Synchrony {
    /// `synchronous_standby_names`; empty: for nobody.
    pub standbys: String,
    /// `synchronous_commit`.
    pub commit: String,
    /// `fsync`.
    pub fsync: bool,
    /// How many servers follow it now.
    pub followed_by: i64,
}

const FACTS: &str = "
SELECT (pg_control_checkpoint()).timeline_id AS timeline,
       current_setting('server_version') AS version,
       current_user::text AS role,
       pg_has_role(current_user, 'pg_read_all_stats', 'usage') AS sees_standbys,
       current_setting('synchronous_standby_names') AS standbys,
       current_setting('synchronous_commit') AS commit,
       current_setting('fsync')::bool AS fsync,
       (SELECT count(*) FROM pg_stat_replication) AS followed_by,
       CASE WHEN pg_is_in_recovery() THEN pg_is_wal_replay_paused() ELSE false END AS paused";

const WRITTEN: &str = "SELECT pg_current_wal_flush_lsn()::text AS position";
const SHOWS: &str = "SELECT pg_last_wal_replay_lsn() >= $1::text::pg_lsn AS shows";

/// Asks every address of the settings. Must be called in a runtime.
pub async fn survey(settings: &Settings) -> Result<Vec<Surveyed>, OpenError> {
    let addresses = Address::all(settings)?;
    let asked = addresses.iter().map(async |address| {
        let made = address.connect().await.map_err(|error| error.to_string())?;
        let client = Arc::new(made.client);
        let facts = client.query_one(FACTS, &[]).await;
        let facts = facts.map_err(|error| super::errors::sentence(&error))?;
        let mut found = Found::read(&facts).map_err(|error| super::errors::sentence(&error))?;
        (found.system, found.role) = (made.identity.system, made.identity.role);
        if let Role::Primary { timeline } = found.role {
            found.timeline = i32::try_from(timeline).unwrap_or(i32::MAX);
        }
        Ok::<_, String>((client, found))
    });
    let asked = futures_util::future::join_all(asked).await;
    let primary = primary(asked.iter().flatten());
    let (written, known) = match primary {
        Some(primary) => (written(primary).await, instances(primary).await.ok()),
        None => (None, None),
    };
    let primary = primary.map(Arc::clone);
    let mut all = Vec::new();
    for (address, asked) in addresses.iter().zip(asked) {
        let found = match asked {
            Ok((client, mut found)) => {
                if let (Role::Replica, Some(position)) = (found.role, &written) {
                    found.behind = behind(&client, position).await;
                }
                if primary
                    .as_ref()
                    .is_some_and(|one| Arc::ptr_eq(one, &client))
                {
                    found.instances.clone_from(&known);
                }
                Ok(found)
            }
            Err(error) => Err(error),
        };
        all.push(Surveyed {
            name: address.name.clone(),
            replica: address.replica,
            found,
        });
    }
    Ok(all)
}

/// The one of the highest timeline.
fn primary<'a>(asked: impl Iterator<Item = &'a (Arc<Client>, Found)>) -> Option<&'a Arc<Client>> {
    let primaries = asked.filter(|(_, found)| found.role != Role::Replica);
    let (client, _) = primaries.max_by_key(|(_, found)| found.timeline)?;
    Some(client)
}

/// Up to where it has committed.
async fn written(primary: &Client) -> Option<String> {
    let row = primary.query_one(WRITTEN, &[]).await.ok()?;
    row.try_get("position").ok()
}

/// How long it takes to show what is committed up to `position`.
async fn behind(client: &Client, position: &str) -> Option<Duration> {
    let start = Instant::now();
    let look = async {
        loop {
            let row = client.query_one(SHOWS, &[&position]).await.ok()?;
            if row.try_get::<_, Option<bool>>("shows").ok()? == Some(true) {
                return Some(start.elapsed());
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    tokio::time::timeout(PATIENCE, look).await.ok()?
}

impl Found {
    fn read(row: &Row) -> Result<Self, tokio_postgres::Error> {
        Ok(Self {
            system: 0,
            role: Role::Replica,
            timeline: row.try_get("timeline")?,
            version: row.try_get("version")?,
            user: row.try_get("role")?,
            sees_standbys: row.try_get("sees_standbys")?,
            synchrony: Synchrony {
                standbys: row.try_get("standbys")?,
                commit: row.try_get("commit")?,
                fsync: row.try_get("fsync")?,
                followed_by: row.try_get("followed_by")?,
            },
            paused: row.try_get("paused")?,
            behind: None,
            instances: None,
        })
    }
}
