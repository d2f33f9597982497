//! Group commit, and transactions that hold it up.

use std::{future::Future, sync::Arc, time::Duration};

use sso_core::ports::{
    Store, StoreError,
    store::{Freshness, Rotate, Rotation, Session, SessionStore, UserStore},
};
use sso_store_sqlite::{Limits, Role, Settings, SqliteStore};
use sso_testkit::{clock::START, contract::Given};
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::support::{LONG, serving, settings, user};

const CLIENTS: usize = 32;

fn rotate(session: &Session, generation: u64) -> Rotate {
    Rotate {
        session: session.id,
        generation,
        used_after: None,
        now: START,
        grace: Duration::from_secs(30),
    }
}

async fn sessions(store: &Arc<SqliteStore>, given: &Given) -> Vec<Session> {
    let store: Arc<dyn Store> = Arc::<SqliteStore>::clone(store);
    let alice = given.user(&store, "alice@example.com").await;
    let mut sessions = Vec::new();
    for _ in 0..CLIENTS {
        sessions.push(given.session(&store, &alice).await);
    }
    sessions
}

/// Each session is refreshed once by a task of its own. All of them wait for the writer by the time
/// `release` ends, and must have been rotated in the end.
async fn refresh_all(
    store: &Arc<SqliteStore>,
    sessions: &[Session],
    release: impl Future<Output = ()>,
) {
    let mut running = JoinSet::new();
    for session in sessions {
        let (store, rotate) = (Arc::clone(store), rotate(session, 0));
        running.spawn(async move { store.rotate(rotate).await.unwrap() });
    }
    // On one thread: each has run up to its answer.
    tokio::task::yield_now().await;
    release.await;
    for rotation in running.join_all().await {
        assert!(matches!(rotation, Rotation::Rotated(_)));
    }
}

#[tokio::test]
async fn what_waits_together_is_committed_together() {
    let (store, _folder) = serving();
    let given = Given::new();
    let sessions = sessions(&store, &given).await;
    // The writer is kept busy while they queue up.
    let mut tx = store.begin().await.unwrap();
    tx.insert_user(&given.new_user("bob@example.com"))
        .await
        .unwrap();
    let before = store.commits();
    refresh_all(&store, &sessions, async move { tx.commit().await.unwrap() }).await;
    assert_eq!(store.commits() - before, 1);
}

#[tokio::test]
async fn a_group_has_a_bound() {
    let folder = TempDir::new().unwrap();
    let defaults = settings(folder.path(), Role::Server);
    let bounded = Settings {
        limits: Limits {
            group: 4,
            ..defaults.limits
        },
        ..defaults
    };
    let store = Arc::new(SqliteStore::open(&bounded).unwrap());
    let given = Given::new();
    let sessions = sessions(&store, &given).await;
    let mut tx = store.begin().await.unwrap();
    tx.insert_user(&given.new_user("bob@example.com"))
        .await
        .unwrap();
    let before = store.commits();
    refresh_all(&store, &sessions, async move { tx.commit().await.unwrap() }).await;
    // One transaction and 32 requests, four at a time.
    assert_eq!(store.commits() - before, 9);
}

#[tokio::test]
async fn a_dropped_transaction_spoils_nobody_elses_group() {
    let (store, _folder) = serving();
    let given = Given::new();
    let sessions = sessions(&store, &given).await;
    let mut tx = store.begin().await.unwrap();
    let bob = tx
        .insert_user(&given.new_user("bob@example.com"))
        .await
        .unwrap();
    refresh_all(&store, &sessions, async move { drop(tx) }).await;
    assert_eq!(store.user(bob.id, Freshness::Primary).await.unwrap(), None);
}

#[tokio::test]
async fn a_failed_request_spoils_nobody_elses_group() {
    let (store, _folder) = serving();
    let given = Given::new();
    let sessions = sessions(&store, &given).await;
    let mut tx = store.begin().await.unwrap();
    let bob = tx
        .insert_user(&given.new_user("bob@example.com"))
        .await
        .unwrap();
    let failing = async {
        // The name is taken by what is not yet committed.
        let same = given.new_user("BOB@example.com");
        let mut second = store.begin().await.unwrap();
        let (failed, ()) = tokio::join!(second.insert_user(&same), async {
            tx.commit().await.unwrap();
        });
        assert!(matches!(failed, Err(StoreError::Conflict(_))));
    };
    refresh_all(&store, &sessions, failing).await;
    assert!(
        store
            .user(bob.id, Freshness::Primary)
            .await
            .unwrap()
            .is_some()
    );
}

#[tokio::test]
async fn a_stuck_transaction_is_rolled_back_and_the_others_go_on() {
    let (store, _folder) = serving();
    let given = Given::new();
    let sessions = sessions(&store, &given).await;
    let mut stuck = store.begin().await.unwrap();
    let bob = stuck
        .insert_user(&given.new_user("bob@example.com"))
        .await
        .unwrap();
    refresh_all(&store, &sessions, async {}).await;

    let late = stuck.set_admin(bob.id, true).await;
    assert!(matches!(late, Err(StoreError::Unavailable(_))));
    assert!(matches!(
        stuck.commit().await,
        Err(StoreError::Unavailable(_))
    ));
    assert_eq!(store.user(bob.id, Freshness::Primary).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_step_that_comes_when_its_transaction_ends_is_answered() {
    const ROUNDS: usize = 300;
    let (store, _folder) = serving();
    let given = Given::new();
    let bob = user(&store, &given, "bob@example.com").await;
    for _ in 0..ROUNDS {
        let mut tx = store.begin().await.unwrap();
        let taken = tx.insert_user(&given.new_user("bob@example.com")).await;
        assert!(matches!(taken, Err(StoreError::Conflict(_))));
        // The writer may not have ended it yet.
        let late = tokio::time::timeout(LONG, tx.set_admin(bob.id, true)).await;
        assert!(matches!(late.unwrap(), Err(StoreError::Unavailable(_))));
        let commit = tokio::time::timeout(LONG, tx.commit()).await;
        assert!(matches!(commit.unwrap(), Err(StoreError::Unavailable(_))));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn hot_refreshes_and_slow_transactions_pass_each_other() {
    const ROUNDS: u64 = 20;
    let (store, _folder) = serving();
    let given = Arc::new(Given::new());
    let sessions = sessions(&store, &given).await;
    let mut running = JoinSet::new();
    for session in &sessions {
        let (store, session) = (Arc::clone(&store), session.clone());
        running.spawn(async move {
            for generation in 0..ROUNDS {
                let rotation = store.rotate(rotate(&session, generation)).await.unwrap();
                assert!(matches!(rotation, Rotation::Rotated(_)));
            }
        });
    }
    for n in 0..ROUNDS {
        let mut tx = store.begin().await.unwrap();
        let new = given.new_user(&format!("user{n}@example.com"));
        let user = tx.insert_user(&new).await.unwrap();
        // Slow: everybody else has a turn on this runtime first.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        tx.append_event(&given.new_event(user.id)).await.unwrap();
        tx.commit().await.unwrap();
        assert!(
            store
                .user(user.id, Freshness::Primary)
                .await
                .unwrap()
                .is_some()
        );
    }
    running.join_all().await;
    for session in &sessions {
        let stored = store.session(session.id).await.unwrap().unwrap();
        assert_eq!(stored.generation, ROUNDS);
    }
}

#[tokio::test]
async fn a_full_queue_refuses_after_its_patience() {
    let folder = TempDir::new().unwrap();
    let defaults = settings(folder.path(), Role::Server);
    let crowded = Settings {
        limits: Limits {
            queue: 2,
            patience: Duration::from_millis(20),
            transaction_idle: Duration::from_mins(1),
            ..defaults.limits
        },
        ..defaults
    };
    let store = Arc::new(SqliteStore::open(&crowded).unwrap());
    let given = Given::new();
    let sessions = sessions(&store, &given).await;
    let mut tx = store.begin().await.unwrap();
    tx.insert_user(&given.new_user("bob@example.com"))
        .await
        .unwrap();
    let waiting = tokio::spawn({
        let (store, rotate) = (Arc::clone(&store), rotate(&sessions[0], 0));
        async move { store.rotate(rotate).await }
    });
    tokio::task::yield_now().await;
    let refused = store.rotate(rotate(&sessions[1], 0)).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))));
    // Reads do not wait for the writer.
    store.ping().await.unwrap();
    tx.commit().await.unwrap();
    assert!(matches!(waiting.await.unwrap(), Ok(Rotation::Rotated(_))));
}
