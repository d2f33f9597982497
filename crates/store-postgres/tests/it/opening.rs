//! Whose database it is, how old, and who brings it up to date.

use anyhow::{Context, Result};
use sso_store_postgres::{Limits, OpenError, PostgresStore, SchemaError};
use tokio::task::JoinSet;

use crate::support::{Database, settings};

async fn open(database: &Database, migrate: bool) -> Result<Option<SchemaError>> {
    let opened = PostgresStore::open(&settings(&database.url)?, Limits::default(), migrate).await;
    match opened {
        Ok(_) => Ok(None),
        Err(OpenError::Schema(error)) => Ok(Some(error)),
        Err(error) => Err(error.into()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_database_is_refused_or_migrated_as_it_is_wanted() -> Result<()> {
    let database = Database::empty().await?;
    let refused = open(&database, false).await?;
    assert!(matches!(
        refused,
        Some(SchemaError::Behind { found: 0, .. })
    ));
    let status = PostgresStore::migration_status(&settings(&database.url)?).await?;
    assert_eq!((status.current, status.pending.len()), (0, 2));
    assert!(open(&database, true).await?.is_none());
    assert!(open(&database, false).await?.is_none());
    let status = PostgresStore::migration_status(&settings(&database.url)?).await?;
    assert_eq!(status.current, status.latest);
    assert!(status.pending.is_empty());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn several_that_migrate_at_once_do_it_once() -> Result<()> {
    let database = Database::empty().await?;
    let mut opening = JoinSet::new();
    for _ in 0..4 {
        let settings = settings(&database.url)?;
        opening.spawn(async move {
            PostgresStore::open(&settings, Limits::default(), true)
                .await
                .map(|_| ())
        });
    }
    for opened in opening.join_all().await {
        opened?;
    }
    let applied = database
        .execute("select count(*) from refinery_schema_history")
        .await?;
    assert_eq!(applied, "2");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_of_another_program_are_not_touched() -> Result<()> {
    for theirs in [
        "create table theirs (id integer)",
        "create table compatibility (min_version integer)",
        "create table refinery_schema_history (version int4, name varchar(255),
                                               applied_on varchar(255), checksum varchar(255));
         insert into refinery_schema_history values (3, 'theirs', '', '7')",
    ] {
        let database = Database::empty().await?;
        database.execute(theirs).await?;
        for migrate in [false, true] {
            let refused = open(&database, migrate).await?;
            assert!(matches!(refused, Some(SchemaError::Foreign)), "{theirs}");
        }
        let ours = database.execute("select to_regclass('users')").await?;
        assert_eq!(ours, "");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_not_utf8_is_refused() -> Result<()> {
    let database = Database::empty().await?;
    let name = format!("latin{}", std::process::id());
    let create = "create database {} encoding 'LATIN1' locale 'C' template template0";
    database.execute(&create.replace("{}", &name)).await?;
    let mut other = database.url.clone();
    let at = other.rfind('/').context("no database in it")?;
    other.replace_range(at + 1.., &name);
    let opened = PostgresStore::open(&settings(&other)?, Limits::default(), true).await;
    let refused = opened.err().context("it was opened")?.to_string();
    assert!(
        refused.contains("encoding is LATIN1 and must be UTF8"),
        "{refused}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_schema_is_served_as_long_as_it_allows_this_program() -> Result<()> {
    let database = Database::migrated().await?;
    database
        .execute(
            "insert into refinery_schema_history (version, name, applied_on, checksum)
             values (999, 'newer', '2026-01-01T00:00:00Z', '1');
             alter table users add column newer text",
        )
        .await?;
    for migrate in [false, true] {
        assert!(open(&database, migrate).await?.is_none());
    }
    database
        .execute("update compatibility set min_version = 999")
        .await?;
    for migrate in [false, true] {
        let refused = open(&database, migrate).await?;
        assert!(matches!(
            refused,
            Some(SchemaError::Newer {
                found: 999,
                needed: 999,
                ..
            })
        ));
    }
    Ok(())
}
