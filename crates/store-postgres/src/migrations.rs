//! The schema: whose it is, how old, and how it is brought up to date.
//!
//! Migrations are append-only and numbered. The pending ones run as one transaction under an
//! advisory lock of the database, and wait for nobody's table for long: who uses one waits behind
//! whoever waits for it. Each leaves what the binary before it needs (expand), until one raises
//! `min_version` (contract). Indexes of big tables are built afterwards, without a transaction, and
//! taken up again where they were interrupted.

use std::time::Duration;

use refinery::{Migration, Runner};
use tokio::time::{Instant, sleep};
use tokio_postgres::{Client, error::SqlState};

use crate::{SchemaError, error::Said};

/// Every migration, in order. The number before the name is the schema that it makes.
const MIGRATIONS: &[(u32, &str, &str)] = &[
    (
        1,
        "V1__initial",
        include_str!("../migrations/V1__initial.sql"),
    ),
    (
        2,
        "V2__sweeps",
        include_str!("../migrations/V2__sweeps.sql"),
    ),
];

/// Indexes that are built while the tables are in use: name and `CREATE INDEX CONCURRENTLY`.
const INDEXES: &[(&str, &str)] = &[];

/// What a program knows of the schema.
struct Schema {
    migrations: &'static [(u32, &'static str, &'static str)],
    indexes: &'static [(&'static str, &'static str)],
}

/// What this one knows.
const OURS: Schema = Schema {
    migrations: MIGRATIONS,
    indexes: INDEXES,
};

impl Schema {
    fn latest(&self) -> u32 {
        self.migrations.last().map_or(0, |(version, ..)| *version)
    }
}

/// How long to wait for another process that migrates.
const OTHERS: Duration = Duration::from_mins(1);
/// Between two tries. Waiting inside the server would hold a snapshot, for which the other
/// process's CREATE INDEX CONCURRENTLY would wait in turn.
const AGAIN: Duration = Duration::from_millis(100);

const TRY_LOCK: &str = "SELECT pg_try_advisory_lock(8319405893841186818)";
const UNLOCK: &str = "SELECT pg_advisory_unlock(8319405893841186818)";

const BOUNDS: &str = "
    SET lock_timeout = '5s'; SET statement_timeout = 0; SET synchronous_commit = on";
const UNBOUNDED: &str = "SET lock_timeout = 0";

/// Whether our mark is there, whether a history is, how many other tables, and how text is stored.
const LOOK: &str = "
    SELECT to_regclass('compatibility') IS NOT NULL,
           to_regclass('refinery_schema_history') IS NOT NULL,
           (SELECT count(*) FROM pg_class c
            WHERE c.relnamespace = to_regnamespace(quote_ident(current_schema()))
              AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
              AND c.relname <> 'refinery_schema_history'
              AND NOT EXISTS (SELECT 1 FROM pg_depend d
                              WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
                                AND d.deptype = 'e')),
           current_setting('server_encoding')";

const PRODUCT: &str = "SELECT product FROM compatibility";
/// See [`crate::dump`].
const HALF_COPIED: &str = "SELECT to_regclass('copy_progress') IS NOT NULL";
const HISTORY: &str = "SELECT version, checksum FROM refinery_schema_history ORDER BY version";
const MIN_VERSION: &str = "SELECT min_version FROM compatibility";
const IN_RECOVERY: &str = "SELECT pg_is_in_recovery()";
const IS_VALID: &str =
    "SELECT i.indisvalid FROM pg_index i WHERE i.indexrelid = to_regclass($1::text)";

#[cfg(test)]
pub(crate) const STATEMENTS: &[&str] = &[
    TRY_LOCK,
    UNLOCK,
    LOOK,
    PRODUCT,
    HALF_COPIED,
    HISTORY,
    MIN_VERSION,
    IN_RECOVERY,
    IS_VALID,
];

/// How a database's schema compares with this program's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationStatus {
    /// The database's schema; 0 where there is none yet.
    pub current: u32,
    /// The latest schema that this program knows.
    pub latest: u32,
    /// Names of the migrations that are not applied, in order; then of indexes that are not built.
    pub pending: Vec<String>,
}

impl MigrationStatus {
    /// Looks, and changes nothing.
    pub(crate) async fn of(client: &Client) -> Result<Self, SchemaError> {
        let current = current(client).await?;
        let mut pending: Vec<_> = MIGRATIONS
            .iter()
            .filter(|(version, ..)| *version > current)
            .map(|(_, name, _)| (*name).to_owned())
            .collect();
        for (name, _) in INDEXES {
            if is_valid(client, name).await? != Some(true) {
                pending.push((*name).to_owned());
            }
        }
        Ok(Self {
            current,
            latest: OURS.latest(),
            pending,
        })
    }
}

/// Whether this program can serve the database as it is, or why it never can. `false`: it must be
/// migrated before.
pub(crate) async fn may_serve(client: &Client, migrate: bool) -> Result<bool, SchemaError> {
    let half_copied = client.query_one(HALF_COPIED, &[]).await?;
    if half_copied.try_get(0)? {
        return Err(SchemaError::HalfCopied);
    }
    OURS.may_serve(client, migrate).await
}

/// Fails unless the schema is exactly this program's: another one's may hold more, or less.
pub(crate) async fn require_latest(client: &Client) -> Result<(), SchemaError> {
    let (found, known) = (current(client).await?, OURS.latest());
    match found.cmp(&known) {
        std::cmp::Ordering::Equal => Ok(()),
        std::cmp::Ordering::Less => Err(SchemaError::Behind {
            found,
            needed: known,
        }),
        std::cmp::Ordering::Greater => Err(SchemaError::Newer {
            found,
            needed: found,
            known,
        }),
    }
}

/// Brings the schema up to date. `client` is used for nothing else: closing it frees the lock.
pub(crate) async fn migrate(client: &mut Client) -> Result<(), SchemaError> {
    OURS.migrate(client).await
}

impl Schema {
    async fn may_serve(&self, client: &Client, migrate: bool) -> Result<bool, SchemaError> {
        let (found, latest) = (current(client).await?, self.latest());
        if found > latest {
            self.admit_newer(client, found).await?;
            return Ok(true);
        }
        match (migrate, found == latest) {
            (false, true) => Ok(true),
            (false, false) => Err(SchemaError::Behind {
                found,
                needed: latest,
            }),
            (true, is_latest) => Ok(is_latest && are_built(client, self.indexes).await?),
        }
    }

    async fn migrate(&self, client: &mut Client) -> Result<(), SchemaError> {
        if client.query_one(IN_RECOVERY, &[]).await?.try_get(0)? {
            return Err(SchemaError::Replica);
        }
        client.batch_execute(BOUNDS).await?;
        lock(client, OTHERS).await?;
        // Another process may have done it meanwhile, or a newer one more than that.
        let found = current(client).await?;
        if found > self.latest() {
            return self.admit_newer(client, found).await;
        }
        if found < self.latest() {
            self.run(client).await?;
        }
        build(client, self.indexes).await?;
        client.query_one(UNLOCK, &[]).await?;
        Ok(())
    }

    /// A newer program has migrated it: fine, as long as that took nothing away that this one uses.
    async fn admit_newer(&self, client: &Client, found: u32) -> Result<(), SchemaError> {
        let row = client.query_one(MIN_VERSION, &[]).await?;
        let needed = u32::try_from(row.try_get::<_, i32>(0)?).unwrap_or(u32::MAX);
        let known = self.latest();
        if needed <= known {
            return Ok(());
        }
        Err(SchemaError::Newer {
            found,
            needed,
            known,
        })
    }

    async fn run(&self, client: &mut Client) -> Result<(), SchemaError> {
        let migrations = self
            .migrations
            .iter()
            .map(|(_, name, sql)| Migration::unapplied(name, sql))
            .collect::<Result<Vec<_>, _>>()
            .map_err(failed)?;
        Runner::new(&migrations)
            .set_grouped(true)
            .set_abort_missing(false)
            .run_async(client)
            .await
            .map_err(failed)?;
        Ok(())
    }
}

/// The schema's number: 0 for an empty database, an error for another program's.
async fn current(client: &Client) -> Result<u32, SchemaError> {
    let row = client.query_one(LOOK, &[]).await?;
    let (marked, has_history, others): (bool, bool, i64) =
        (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    let encoding: String = row.try_get(3)?;
    if encoding != "UTF8" {
        return Err(SchemaError::Encoding(encoding));
    }
    let ours = marked && is_ours(client).await?;
    if !ours && others > 0 {
        return Err(SchemaError::Foreign);
    }
    // The runner makes it before anything else, and may have been stopped then.
    let found = if has_history {
        history(client).await?
    } else {
        0
    };
    if ours || found == 0 {
        Ok(found)
    } else {
        Err(SchemaError::Foreign)
    }
}

async fn is_ours(client: &Client) -> Result<bool, SchemaError> {
    match client.query_opt(PRODUCT, &[]).await {
        Ok(row) => {
            let product: Option<String> = row.map(|row| row.try_get(0)).transpose()?;
            Ok(product.as_deref() == Some("sso"))
        }
        // A table of this name that has no such column.
        Err(error) if error.code() == Some(&SqlState::UNDEFINED_COLUMN) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Reads the checksums too: the runner takes for granted that they are numbers.
async fn history(client: &Client) -> Result<u32, SchemaError> {
    let mut last = 0;
    for row in client.query(HISTORY, &[]).await? {
        let version: i32 = row.try_get(0).map_err(|_| SchemaError::Damaged)?;
        let checksum: String = row.try_get(1).map_err(|_| SchemaError::Damaged)?;
        checksum.parse::<u64>().map_err(|_| SchemaError::Damaged)?;
        last = u32::try_from(version).map_err(|_| SchemaError::Damaged)?;
    }
    Ok(last)
}

/// The lock is the session's: it ends with the connection at the latest.
async fn lock(client: &Client, within: Duration) -> Result<(), SchemaError> {
    let deadline = Instant::now() + within;
    while !client
        .query_one(TRY_LOCK, &[])
        .await?
        .try_get::<_, bool>(0)?
    {
        if Instant::now() >= deadline {
            return Err(SchemaError::Locked(within));
        }
        sleep(AGAIN).await;
    }
    Ok(())
}

fn failed(error: refinery::Error) -> SchemaError {
    use std::error::Error as _;
    let code = error
        .source()
        .and_then(|source| source.downcast_ref::<tokio_postgres::Error>())
        .and_then(tokio_postgres::Error::code);
    if code == Some(&SqlState::LOCK_NOT_AVAILABLE) {
        SchemaError::Busy(error.into())
    } else {
        SchemaError::Migration(error.into())
    }
}

async fn is_valid(client: &Client, name: &str) -> Result<Option<bool>, SchemaError> {
    let row = client.query_opt(IS_VALID, &[&name]).await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?)
}

async fn are_built(client: &Client, indexes: &[(&str, &str)]) -> Result<bool, SchemaError> {
    for (name, _) in indexes {
        if is_valid(client, name).await? != Some(true) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Builds what is missing. One whose building was interrupted lies there invalid: it is made anew.
async fn build(
    client: &Client,
    indexes: &[(&'static str, &'static str)],
) -> Result<(), SchemaError> {
    client.batch_execute(UNBOUNDED).await?;
    for (name, sql) in indexes {
        let built = match is_valid(client, name).await? {
            Some(true) => continue,
            Some(false) => {
                let drop = format!("DROP INDEX CONCURRENTLY {name}");
                client.batch_execute(&drop).await
            }
            None => Ok(()),
        };
        let built = match built {
            Ok(()) => client.batch_execute(sql).await,
            failed => failed,
        };
        built.map_err(|error| SchemaError::Index {
            name,
            source: Said::from(error).into(),
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use sso_testkit::servers::Postgres;
    use tokio_postgres::NoTls;

    use super::*;

    /// A connection to a database of its own.
    async fn connect(name: &str) -> Client {
        let server = Postgres::shared().await.unwrap();
        let url = server.database(name).await.unwrap();
        let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }

    async fn count(client: &Client, sql: &str) -> i64 {
        client.query_one(sql, &[]).await.unwrap().get(0)
    }

    #[test]
    fn migrations_are_numbered_in_order_and_named_by_their_number() {
        assert!(MIGRATIONS.is_sorted_by(|a, b| a.0 < b.0));
        for (version, name, sql) in MIGRATIONS {
            let migration = Migration::unapplied(name, sql).unwrap();
            assert_eq!(u32::try_from(migration.version()).unwrap(), *version);
        }
    }

    #[tokio::test]
    async fn every_statement_can_be_prepared() {
        let mut client = connect("statements").await;
        migrate(&mut client).await.unwrap();
        let modules = [
            crate::users::STATEMENTS,
            crate::sessions::STATEMENTS,
            crate::rotation::STATEMENTS,
            crate::outbox::STATEMENTS,
            crate::shards::STATEMENTS,
            crate::keys::STATEMENTS,
            crate::lives::STATEMENTS,
            crate::login::STATEMENTS,
            crate::leases::STATEMENTS,
            crate::revocations::STATEMENTS,
            crate::audit::STATEMENTS,
            crate::servers::STATEMENTS,
            crate::lifecycle::STATEMENTS,
            crate::networks::STATEMENTS,
            crate::commit::STATEMENTS,
            STATEMENTS,
        ];
        client.batch_execute(crate::dump::CREATE).await.unwrap();
        for sql in modules
            .concat()
            .into_iter()
            .chain(crate::dump::statements())
        {
            let prepared = client.prepare(sql).await;
            assert!(prepared.is_ok(), "{sql}: {:?}", prepared.err());
        }
    }

    const WANTED: &[(&str, &str)] = &[(
        "users_created",
        "CREATE INDEX CONCURRENTLY users_created ON users (created_at)",
    )];

    #[tokio::test]
    async fn an_index_is_built_once_and_anew_where_its_building_was_interrupted() {
        let mut client = connect("indexes").await;
        migrate(&mut client).await.unwrap();
        assert!(!are_built(&client, WANTED).await.unwrap());
        build(&client, WANTED).await.unwrap();
        assert!(are_built(&client, WANTED).await.unwrap());
        build(&client, WANTED).await.unwrap();
        // As CREATE INDEX CONCURRENTLY leaves it when it is killed.
        let interrupt = "UPDATE pg_index SET indisvalid = false
                         WHERE indexrelid = 'users_created'::regclass";
        client.batch_execute(interrupt).await.unwrap();
        assert!(!are_built(&client, WANTED).await.unwrap());
        build(&client, WANTED).await.unwrap();
        assert!(are_built(&client, WANTED).await.unwrap());
    }

    #[tokio::test]
    async fn a_migration_that_fails_leaves_nothing_behind() {
        let mut client = connect("failing").await;
        // In nobody's way until the migration is half done.
        let obstacle = "CREATE TYPE audit AS ENUM ('x')";
        client.batch_execute(obstacle).await.unwrap();
        let failed = migrate(&mut client).await;
        assert!(
            matches!(failed, Err(SchemaError::Migration(_))),
            "{failed:?}"
        );
        let tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'
                      AND tablename <> 'refinery_schema_history'";
        assert_eq!(count(&client, tables).await, 0);
        client.batch_execute("DROP TYPE audit").await.unwrap();
        migrate(&mut client).await.unwrap();
        assert_eq!(current(&client).await.unwrap(), OURS.latest());
    }
}

#[cfg(test)]
#[path = "migrations_beside_tests.rs"]
mod beside;
