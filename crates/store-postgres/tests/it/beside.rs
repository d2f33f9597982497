//! Several instances on one database.

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use sso_core::ports::{
    Store,
    store::{
        Delivered, EventStatus, JanitorStore, Liveness, OutboxStore, Rotate, Rotation, Session,
        SessionStore, Swept, UserDataReads,
    },
};
use sso_testkit::{clock::START, contract::Given};
use time::macros::datetime;
use tokio::task::JoinSet;

use crate::support::Database;

const GRACE: Duration = Duration::from_secs(30);

fn token(session: &Session, generation: u64) -> Rotate {
    Rotate {
        session: session.id,
        generation,
        now: START,
        used_after: None,
        grace: GRACE,
    }
}

async fn session(store: &Arc<dyn Store>, given: &Given, email: &str) -> Session {
    let user = given.user(store, email).await;
    given.session(store, &user).await
}

/// As one instance does.
#[tokio::test(flavor = "multi_thread")]
async fn of_many_uses_of_one_token_on_two_instances_one_rotates() -> Result<()> {
    let database = Database::migrated().await?;
    let stores = [database.open().await?, database.open().await?];
    let first: Arc<dyn Store> = stores[0].clone();
    let session = session(&first, &Given::new(), "alice@example.com").await;
    for generation in 0..10 {
        let mut uses = JoinSet::new();
        for at in 0..20 {
            let (store, rotate) = (stores[at % 2].clone(), token(&session, generation));
            uses.spawn(async move { store.rotate(rotate).await });
        }
        let mut rotated = 0;
        for used in uses.join_all().await {
            match used? {
                Rotation::Rotated(rows) | Rotation::Replayed(rows)
                    if rows.session.generation != generation + 1 =>
                {
                    panic!("{rows:?}")
                }
                Rotation::Rotated(_) => rotated += 1,
                Rotation::Replayed(_) => {}
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(rotated, 1);
    }
    Ok(())
}

/// Sessions opened by one count for the other, also while both open some.
#[tokio::test(flavor = "multi_thread")]
async fn logins_at_once_on_two_instances_leave_no_more_sessions_than_are_kept() -> Result<()> {
    let database = Database::migrated().await?;
    let stores = [database.open().await?, database.open().await?];
    let first: Arc<dyn Store> = stores[0].clone();
    let given = Given::new();
    let alice = given.user(&first, "alice@example.com").await;
    let liveness = Liveness::at(START);
    let mut both = [0, 1].map(|_| given.new_session(alice.id, START));
    // From another network, which would be a row for both to wait at.
    both[1].address = None;
    let mut tx = stores[0].begin().await?;
    tx.open_session(&both[0], alice.version).await?;
    let other = tokio::spawn({
        let (store, new) = (stores[1].clone(), both[1].clone());
        let version = alice.version;
        async move {
            let mut tx = store.begin().await?;
            tx.open_session(&new, version).await?;
            tx.end_oldest_sessions(new.user, 1, liveness).await?;
            tx.commit().await
        }
    });
    database.wait_for_a_lock().await?;
    tx.end_oldest_sessions(alice.id, 1, liveness).await?;
    tx.commit().await?;
    other.await??;
    assert_eq!(stores[0].live_sessions(alice.id, liveness).await?.len(), 1);
    Ok(())
}

/// It writes no index: the page that has the row has room for its next version.
#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_touches_no_index() -> Result<()> {
    const SESSIONS: usize = 40;
    const EACH: u64 = 25;
    let database = Database::migrated().await?;
    let store = database.open().await?;
    let port: Arc<dyn Store> = store.clone();
    let given = Given::new();
    for at in 0..SESSIONS {
        let session = session(&port, &given, &format!("user{at}@example.com")).await;
        for generation in 0..EACH {
            let mut rotate = token(&session, generation);
            rotate.now += Duration::from_secs(generation + 1);
            let used = store.rotate(rotate).await?;
            assert!(matches!(used, Rotation::Rotated(_)));
        }
    }
    // A session's figures are told when it ends at the latest.
    drop((store, port));
    let figures = "select n_tup_upd, n_tup_hot_upd from pg_stat_user_tables
                   where relname = 'sessions'";
    let all = SESSIONS as u64 * EACH;
    let hot = loop {
        let figures = database.execute(figures).await?;
        let mut numbers = figures.split('|').map(str::parse::<u64>);
        if numbers.next() == Some(Ok(all)) {
            break numbers.next().unwrap()?;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert!(hot * 100 >= all * 95, "{hot} of {all}");
    Ok(())
}

/// Another janitor, or a row that somebody holds, is no reason to wait.
#[tokio::test(flavor = "multi_thread")]
async fn one_janitor_sweeps_at_a_time_and_waits_for_nobody() -> Result<()> {
    let database = Database::migrated().await?;
    let store = database.open().await?;
    let port: Arc<dyn Store> = store.clone();
    let given = Given::new();
    let held = session(&port, &given, "alice@example.com").await;
    session(&port, &given, "bob@example.com").await;
    let later = held.expires_at + GRACE;
    let sweep = || store.sweep(Swept::Sessions, later, 10);

    // Another one is at work.
    let mut other = database.client().await?;
    let other = other.transaction().await?;
    let lock = "select pg_advisory_xact_lock(8319405893841186817)";
    other.query_one(lock, &[]).await?;
    assert_eq!(sweep().await?, 0);
    other.rollback().await?;

    let mut tx = store.begin().await?;
    tx.end_session(held.id, None, START).await?;
    assert_eq!(sweep().await?, 1);
    assert!(store.session(held.id).await?.is_some());
    drop(tx);
    assert_eq!(sweep().await?, 1);
    Ok(())
}

/// Whichever of them comes first.
#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_beside_the_deletion_of_its_user_leaves_no_content() -> Result<()> {
    let database = Database::migrated().await?;
    let store = database.open().await?;
    let port: Arc<dyn Store> = store.clone();
    let given = Given::new();
    let alice = given.user(&port, "alice@example.com").await;
    let event = given.new_event(alice.id);
    let mut tx = store.begin().await?;
    tx.append_event(&event).await?;
    tx.commit().await?;

    let mut deletion = store.begin().await?;
    deletion.delete_user(alice.id, START).await?;
    let delivery = tokio::spawn({
        let (store, id) = (store.clone(), event.id);
        async move {
            store
                .settle_events(&[(id, Delivered::Success)], START)
                .await
        }
    });
    database.wait_for_a_lock().await?;
    deletion.commit().await?;
    delivery.await??;
    let events = store.events_of(alice.id, 0, 10).await?;
    assert_eq!(events[0].status, EventStatus::Success);
    assert!(events[0].payload.is_empty());
    Ok(())
}

/// What is missing later was swept, not lost; it is told with the sweep, and never less than before.
#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_of_revocations_tells_how_far_it_went() -> Result<()> {
    let database = Database::migrated().await?;
    let store = database.open().await?;
    let marked = async |what: &str| {
        let mark = format!("select until {what} from sweeps");
        anyhow::Ok(database.execute(&mark).await? == "t")
    };
    let ended = async |at: &str| {
        let entry = "insert into revocations (kind, subject, until)
                     values ('session', gen_random_uuid(), ";
        database.execute(&format!("{entry}{at})")).await
    };
    database
        .execute("update sweeps set until = '-infinity'")
        .await?;
    let before = datetime!(2025-01-03 0:00 UTC);
    assert_eq!(store.sweep(Swept::Revocations, before, 9).await?, 0);
    assert!(marked("= '-infinity'").await?);
    for day in 1..4 {
        ended(&format!("'2025-01-0{day}'")).await?;
    }
    assert_eq!(store.sweep(Swept::Revocations, before, 9).await?, 2);
    assert!(marked("= '2025-01-02'").await?);
    ended("'2024-01-01'").await?;
    assert_eq!(store.sweep(Swept::Revocations, before, 9).await?, 1);
    assert!(marked("= '2025-01-02'").await?);
    // By a clock that is ahead.
    ended("now() + interval '1 hour'").await?;
    let ahead = datetime!(9000-01-01 0:00 UTC);
    assert_eq!(store.sweep(Swept::Revocations, ahead, 9).await?, 2);
    assert!(marked("between now() - interval '2 minutes' and now() - interval '1 minute'").await?);
    Ok(())
}
