//! A COMMIT whose answer is lost with its connection.

use std::sync::Arc;

use anyhow::{Context, Result};
use sso_core::ports::{
    Store, StoreError,
    store::{Freshness, UserReads},
};
use sso_store_postgres::{Limits, PostgresStore};
use sso_testkit::{
    contract::Given,
    servers::{Postgres, Proxy},
};

use crate::support::{Database, settings};

/// A store that reaches its database through a network of ours.
async fn through(database: &Database) -> Result<(Arc<PostgresStore>, Proxy)> {
    let network = Proxy::start(Postgres::shared().await?.node.address())?;
    let (before, after) = database.url.rsplit_once('@').context("no password")?;
    let (_, path) = after.split_once('/').context("no database")?;
    let url = format!("{before}@{}/{path}", network.address());
    let store = PostgresStore::open(&settings(&url)?, Limits::default(), false).await?;
    Ok((Arc::new(store), network))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_committed_is_answered_so_although_the_answer_was_lost() -> Result<()> {
    let database = Database::migrated().await?;
    let (store, network) = through(&database).await?;
    let new = Given::new().new_user("alice@example.com");
    let mut tx = store.begin().await?;
    tx.insert_user(&new).await?;
    network.freeze_answers();
    let commit = tokio::spawn(tx.commit());
    while database.execute("select count(*) from users").await? != "1" {}
    network.reset();
    // None is left through which the answer could still come.
    database
        .wait_for("backend_type = 'client backend'", |sessions| sessions == 0)
        .await?;
    network.mend();
    commit.await??;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_committed_is_refused_and_nothing_of_it_is_there() -> Result<()> {
    let database = Database::migrated().await?;
    let (store, network) = through(&database).await?;
    let new = Given::new().new_user("alice@example.com");
    let mut tx = store.begin().await?;
    tx.insert_user(&new).await?;
    network.reset();
    let committed = tx.commit().await;
    assert!(matches!(committed, Err(StoreError::Unavailable(_))));
    assert_eq!(store.user(new.id, Freshness::Primary).await?, None);
    Ok(())
}
