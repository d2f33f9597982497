//! What a transaction promises beyond the contract: its COMMIT, its end, its locks.

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use sso_core::ports::{
    Store, StoreError,
    store::{AuditAction, AuditResult, Freshness, NewAudit, User, UserStore},
};
use sso_store_postgres::PostgresStore;
use sso_testkit::{clock::START, contract::Given};

use crate::support::Database;

async fn user(store: &Arc<PostgresStore>, given: &Given, email: &str) -> User {
    let store: Arc<dyn Store> = store.clone();
    given.user(&store, email).await
}

/// It comes back as if nothing had been.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_whose_transaction_was_dropped_goes_on_without_it() -> Result<()> {
    let database = Database::migrated().await?;
    let store = database.open().await?;
    let given = Given::new();
    let alice = user(&store, &given, "alice@example.com").await;
    for _ in 0..20 {
        let mut tx = store.begin().await?;
        tx.set_admin(alice.id, true).await?;
        drop(tx);
        // It would wait for the row, or see the change.
        let row = store.user(alice.id, Freshness::Primary).await?;
        assert_eq!(row.as_ref(), Some(&alice));
    }
    let open = "select count(*) from pg_stat_activity
                where datname = current_database() and state like 'idle in transaction%'";
    assert_eq!(database.execute(open).await?, "0");
    Ok(())
}

/// Nobody knows whether its statement was executed: it must not be committed by whoever comes next.
#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_was_not_waited_for_ends_its_transaction() -> Result<()> {
    let database = Database::migrated().await?;
    let store = database.open().await?;
    let given = Given::new();
    let alice = user(&store, &given, "alice@example.com").await;
    let mut holder = store.begin().await?;
    holder.set_admin(alice.id, true).await?;

    let mut waiting = store.begin().await?;
    let step = waiting.set_disabled(alice.id, true);
    let gave_up = tokio::time::timeout(Duration::from_millis(100), step).await;
    assert!(gave_up.is_err());
    let committed = waiting.commit().await;
    assert!(matches!(committed, Err(StoreError::Unavailable(_))));

    holder.commit().await?;
    // Its connection goes to nobody else.
    database
        .wait_for("state <> 'idle'", |sessions| sessions == 0)
        .await?;
    let row = store.user(alice.id, Freshness::Primary).await?;
    assert_eq!(
        row.map(|row| (row.is_admin, row.disabled)),
        Some((true, false))
    );
    Ok(())
}

/// PostgreSQL answers the COMMIT of a failed transaction with success.
#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_cannot_be_stored_takes_its_transaction_with_it() -> Result<()> {
    let database = Database::migrated().await?;
    let store = database.open().await?;
    let given = Given::new();
    let alice = user(&store, &given, "alice@example.com").await;
    database
        .execute("alter table audit add constraint none check (action = 'none')")
        .await?;
    let mut tx = store.begin().await?;
    tx.set_admin(alice.id, true).await?;
    let record = NewAudit::new(START, AuditAction::AdminGrant, AuditResult::Success);
    tx.append_audit(&record).await?;
    assert!(tx.commit().await.is_err());
    let row = store.user(alice.id, Freshness::Primary).await?;
    assert_eq!(row, Some(alice));
    Ok(())
}

/// Whatever the operator has chosen for the rest.
#[tokio::test(flavor = "multi_thread")]
async fn what_takes_access_away_waits_for_the_standby_and_a_login_as_it_was_chosen() -> Result<()> {
    let database = Database::migrated().await?;
    // A trigger at the end of the transaction sees the setting with which it commits.
    database
        .execute(&format!(
            "alter database {} set synchronous_commit = off;
             create table seen (what text, setting text);
             create function note() returns trigger language plpgsql as $$
             begin
                 insert into seen values (tg_table_name, current_setting('synchronous_commit'));
                 return null;
             end $$;
             create constraint trigger note after insert or update on users
                 deferrable initially deferred for each row execute function note();
             create constraint trigger note after insert on sessions
                 deferrable initially deferred for each row execute function note()",
            database.name
        ))
        .await?;
    let store = database.open().await?;
    let given = Given::new();
    let alice = user(&store, &given, "alice@example.com").await;
    let mut tx = store.begin().await?;
    tx.open_session(&given.new_session(alice.id, START), alice.version)
        .await?;
    tx.commit().await?;
    let mut tx = store.begin().await?;
    tx.set_disabled(alice.id, true).await?;
    tx.commit().await?;
    let seen = database
        .execute("select string_agg(what || '=' || setting, ' ') from seen")
        .await?;
    assert_eq!(seen, "users=on sessions=off users=on");
    Ok(())
}

/// The row of a user is not read half deleted, and a login beside a deletion finds him or not.
#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_meets_a_deletion_finds_nobody() -> Result<()> {
    let database = Database::migrated().await?;
    let store = database.open().await?;
    let given = Given::new();
    let alice = user(&store, &given, "alice@example.com").await;
    let mut deletion = store.begin().await?;
    deletion.delete_user(alice.id, START).await?;
    let login = tokio::spawn({
        let (store, session) = (store.clone(), given.new_session(alice.id, START));
        let version = alice.version;
        async move {
            let mut tx = store.begin().await?;
            let opened = tx.open_session(&session, version).await?;
            tx.commit().await?;
            Ok::<_, StoreError>(opened.is_some())
        }
    });
    database.wait_for_a_lock().await?;
    deletion.commit().await?;
    assert!(!login.await??);
    Ok(())
}
