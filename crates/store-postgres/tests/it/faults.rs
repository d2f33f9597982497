//! What PostgreSQL refuses, and what of it may be done again.

use std::sync::Arc;

use anyhow::{Result, bail};
use sso_core::ports::{
    Store, StoreError,
    store::{Freshness, User, UserStore},
};
use sso_store_postgres::{Limits, PostgresStore};
use sso_testkit::{contract::Given, servers::Options};

use crate::support::{Database, LONG, settings};

async fn users(store: &Arc<PostgresStore>, names: [&str; 2]) -> [User; 2] {
    let given = Given::new();
    let port: Arc<dyn Store> = store.clone();
    let [one, other] = names.map(|name| format!("{name}@example.com"));
    [
        given.user(&port, &one).await,
        given.user(&port, &other).await,
    ]
}

/// Two that take the rows of two users in opposite orders: PostgreSQL ends one, for certain.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_in_a_deadlock_one_is_undone_and_the_other_goes_on() -> Result<()> {
    let database = Database::migrated().await?;
    let store = database.open().await?;
    let [alice, bob] = users(&store, ["alice", "bob"]).await;
    let (mut one, mut other) = (store.begin().await?, store.begin().await?);
    one.set_admin(alice.id, true).await?;
    other.set_admin(bob.id, true).await?;
    let (first, second) = tokio::join!(
        async {
            one.set_admin(bob.id, true).await?;
            one.commit().await
        },
        async {
            other.set_admin(alice.id, true).await?;
            other.commit().await
        }
    );
    let undone = match (first, second) {
        (Ok(()), Err(error)) | (Err(error), Ok(())) => error,
        other => bail!("{other:?}"),
    };
    assert!(matches!(undone, StoreError::Undone(_)), "{undone:?}");
    for user in [alice, bob] {
        let row = store.user(user.id, Freshness::Primary).await?;
        assert_eq!(row.map(|row| row.is_admin), Some(true));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_meets_a_concurrent_change_in_a_serializable_database_is_undone() -> Result<()> {
    let database = Database::migrated().await?;
    let level = "alter database {} set default_transaction_isolation = serializable";
    database
        .execute(&level.replace("{}", &database.name))
        .await?;
    let store = database.open().await?;
    let [alice, bob] = users(&store, ["alice", "bob"]).await;
    let mut late = store.begin().await?;
    // Its snapshot is taken.
    late.set_admin(bob.id, true).await?;
    database
        .execute("update users set name = 'Alice' where email like 'alice%'")
        .await?;
    let refused = late.set_admin(alice.id, true).await;
    assert!(matches!(refused, Err(StoreError::Undone(_))), "{refused:?}");
    // Nothing comes after it, not even a COMMIT that looks like a success.
    let refused = late.commit().await;
    assert!(refused.is_err());
    let row = store.user(bob.id, Freshness::Primary).await?;
    assert_eq!(row, Some(bob));
    Ok(())
}

/// As a primary is for a moment when it becomes a standby.
#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_transaction_is_undone_and_goes_well_when_it_is_none_any_more() -> Result<()> {
    let database = Database::migrated().await?;
    let store = database.open().await?;
    let [alice, _] = users(&store, ["alice", "bob"]).await;
    let mut tx = store.begin().await?;
    tx.set_admin(alice.id, true).await?;
    tx.commit().await?;
    let set = |to| {
        let sql = format!(
            "alter database {} set default_transaction_read_only = {to}",
            database.name
        );
        let end = "select count(pg_terminate_backend(pid)) from pg_stat_activity
                   where datname = current_database() and pid <> pg_backend_pid()";
        let database = &database;
        async move {
            let mut client = database.client().await?;
            let tx = client.build_transaction().read_only(false).start().await?;
            tx.batch_execute(&sql).await?;
            tx.commit().await?;
            drop(client);
            database.execute(end).await
        }
    };
    set("on").await?;
    let mut seen = None;
    for _ in 0..8 {
        let mut tx = store.begin().await?;
        match tx.set_admin(alice.id, false).await {
            Err(StoreError::Undone(error)) => seen = Some(error.to_string()),
            other => bail!("{other:?}"),
        }
        if seen.as_ref().is_some_and(|error| error.contains("25006")) {
            break;
        }
    }
    let seen = seen.unwrap_or_default();
    assert!(seen.contains("25006"), "{seen}");
    set("off").await?;
    let row = store.user(alice.id, Freshness::Primary).await?;
    assert_eq!(row.map(|row| row.is_admin), Some(true));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_a_free_connection_is_unavailable_until_it_has_one() -> Result<()> {
    let options = Options::new()
        .setting("max_connections", "12")
        .setting("superuser_reserved_connections", "1");
    let server = options.start().await?;
    let mut few = settings(&server.url())?;
    few.acquire_timeout = std::time::Duration::from_secs(1);
    let store = PostgresStore::open(&few, Limits::default(), true).await?;
    let [alice, _] = users(&Arc::new(store.clone()), ["alice", "bob"]).await;
    // What the pool has it keeps: so all of that is in use.
    let mut held = Vec::new();
    let mut others = Vec::new();
    while let Ok((client, connection)) =
        tokio_postgres::connect(&server.url(), tokio_postgres::NoTls).await
    {
        others.push((client, tokio::spawn(connection)));
    }
    let refused = loop {
        match store.servers().primary().await {
            Ok(connection) => held.push(connection),
            Err(error) => break error,
        }
        assert!(held.len() <= 6, "there was one after all");
    };
    assert!(matches!(refused, StoreError::Unavailable(_)), "{refused:?}");
    others.clear();
    held.clear();
    let read = async { while store.user(alice.id, Freshness::Primary).await.is_err() {} };
    tokio::time::timeout(LONG, read).await?;
    Ok(())
}
