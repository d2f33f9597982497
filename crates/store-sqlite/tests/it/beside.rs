//! A server and commands on one folder.

use std::{sync::Arc, time::Duration};

use sso_core::ports::{
    Store, StoreError,
    store::{
        Freshness, NewRevocation, Question, Reach, Revocation, RevocationFeed, Revoked, Rotate,
        Rotation, SessionStore, UserStore,
    },
};
use sso_store_sqlite::{OpenError, Role, SqliteStore};
use sso_testkit::{clock::START, contract::Given};
use tempfile::TempDir;

use crate::support::{LONG, open, serving, user};

async fn revoke(store: &SqliteStore, given: &Given) -> Revocation {
    let new = NewRevocation {
        revoked: Revoked::Session(given.session_id()),
        until: START,
    };
    let mut tx = store.begin().await.unwrap();
    let entry = tx.revoke(&new).await.unwrap();
    tx.commit().await.unwrap();
    entry
}

async fn beat(store: &SqliteStore) -> Result<Vec<Revocation>, StoreError> {
    let held = Vec::new;
    let question = Question {
        now: START,
        held: &held,
        anew: false,
        expects: false,
    };
    Ok(store.beat(question).await?.entries.into_iter().collect())
}

/// It looked before the copy ended, and writes after it.
#[tokio::test]
async fn nothing_is_written_to_a_database_that_goes_on_elsewhere() {
    let (server, folder) = serving();
    let given = Given::new();
    drop(server);
    let command = Arc::new(open(folder.path(), Role::Command).unwrap());
    let alice = user(&command, &given, "alice@example.com").await;
    std::fs::write(folder.path().join("moved-to"), "postgres://db/sso\n").unwrap();
    let mut tx = command.begin().await.unwrap();
    let refused = tx.end_user_sessions(alice.id).await.unwrap_err();
    assert!(refused.to_string().contains("goes on there"), "{refused}");
    let seen = command.user(alice.id, Freshness::Primary).await.unwrap();
    assert_eq!(seen.unwrap().version, alice.version);
}

#[tokio::test]
async fn a_second_server_is_refused_and_a_command_is_not() {
    let (server, folder) = serving();
    let Err(refused) = open(folder.path(), Role::Server) else {
        panic!("a second server opened the folder");
    };
    assert!(matches!(refused, OpenError::Locked { .. }), "{refused}");

    let command = Arc::new(open(folder.path(), Role::Command).unwrap());
    let alice = user(&command, &Given::new(), "alice@example.com").await;
    assert_eq!(
        server.user(alice.id, Freshness::Any).await.unwrap(),
        Some(alice)
    );

    drop(server);
    open(folder.path(), Role::Server).unwrap();
}

#[tokio::test]
async fn reopening_keeps_everything() {
    let (server, folder) = serving();
    let given = Given::new();
    let alice = user(&server, &given, "alice@example.com").await;
    let dynamic: Arc<dyn Store> = Arc::<SqliteStore>::clone(&server);
    let session = given.session(&dynamic, &alice).await;
    let entry = revoke(&server, &given).await;
    assert_eq!(beat(&server).await.unwrap(), [entry]);
    drop((dynamic, server));

    let server = open(folder.path(), Role::Server).unwrap();
    assert_eq!(
        server.user(alice.id, Freshness::Any).await.unwrap(),
        Some(alice)
    );
    assert_eq!(server.session(session.id).await.unwrap(), Some(session));
    // A new process knows nothing, so it is told everything again.
    assert_eq!(beat(&server).await.unwrap(), [entry]);
}

#[tokio::test]
async fn what_a_command_revokes_reaches_the_server_by_its_next_beat() {
    let (server, folder) = serving();
    let command = open(folder.path(), Role::Command).unwrap();
    assert_eq!(beat(&server).await.unwrap(), []);
    let entry = revoke(&command, &Given::new()).await;
    assert_eq!(beat(&server).await.unwrap(), [entry]);
}

#[tokio::test]
async fn a_command_waits_until_the_server_obeys() {
    let (server, folder) = serving();
    let command = Arc::new(open(folder.path(), Role::Command).unwrap());
    let entry = revoke(&command, &Given::new()).await;
    let short = Duration::from_millis(50);
    let pending = command.acknowledged(&entry, short).await.unwrap();
    assert_eq!(pending, Reach::Pending);

    let waiting = tokio::spawn({
        let command = Arc::clone(&command);
        async move { command.acknowledged(&entry, LONG).await.unwrap() }
    });
    beat(&server).await.unwrap();
    // Told is not obeyed: that is what the next question says.
    let pending = command.acknowledged(&entry, short).await.unwrap();
    assert_eq!(pending, Reach::Pending);
    assert_eq!(beat(&server).await.unwrap(), []);
    assert_eq!(waiting.await.unwrap(), Reach::Everywhere);
}

#[tokio::test]
async fn without_a_server_a_command_waits_for_nobody() {
    let folder = TempDir::new().unwrap();
    let command = open(folder.path(), Role::Command).unwrap();
    let entry = revoke(&command, &Given::new()).await;
    let reach = command.acknowledged(&entry, LONG).await.unwrap();
    assert_eq!(reach, Reach::Everywhere);
}

#[tokio::test]
async fn the_confirmation_of_a_server_that_is_gone_does_not_speak_for_the_next() {
    let (server, folder) = serving();
    let given = Given::new();
    let entry = revoke(&server, &given).await;
    beat(&server).await.unwrap();
    assert_eq!(beat(&server).await.unwrap(), []);
    drop(server);

    let server = open(folder.path(), Role::Server).unwrap();
    let command = open(folder.path(), Role::Command).unwrap();
    let short = Duration::from_millis(50);
    let before = command.acknowledged(&entry, short).await.unwrap();
    assert_eq!(before, Reach::Pending);
    beat(&server).await.unwrap();
    assert_eq!(beat(&server).await.unwrap(), []);
    let after = command.acknowledged(&entry, LONG).await.unwrap();
    assert_eq!(after, Reach::Everywhere);
}

#[tokio::test]
async fn a_beat_that_was_dropped_told_nothing() {
    let (server, _folder) = serving();
    let given = Given::new();
    let mut told = Vec::new();
    // A beat may be answered before anybody waits for it: then the next one is tried.
    loop {
        let entry = revoke(&server, &given).await;
        tokio::select! {
            biased;
            news = beat(&server) => told.extend(news.unwrap()),
            // It was sent, and is dropped before its answer is taken.
            () = std::future::ready(()) => {
                assert!(!told.contains(&entry));
                assert_eq!(beat(&server).await.unwrap(), [entry]);
                return;
            }
        }
    }
}

#[tokio::test]
async fn a_disabled_users_session_is_over_even_if_nothing_ended_it() {
    let (server, folder) = serving();
    let given = Given::new();
    let alice = user(&server, &given, "alice@example.com").await;
    let dynamic: Arc<dyn Store> = Arc::<SqliteStore>::clone(&server);
    let session = given.session(&dynamic, &alice).await;
    // The port cannot do that: disabling ends the sessions. The condition holds by itself.
    let raw = rusqlite::Connection::open(folder.path().join("sso.db")).unwrap();
    raw.execute_batch("UPDATE users SET disabled = 1").unwrap();
    let rotation = server.rotate(Rotate {
        session: session.id,
        generation: 0,
        now: START,
        grace: Duration::ZERO,
        used_after: None,
    });
    assert_eq!(rotation.await.unwrap(), Rotation::Over);
}

#[tokio::test]
async fn a_row_that_cannot_be_read_is_corrupt_and_no_panic() {
    let (server, folder) = serving();
    let alice = user(&server, &Given::new(), "alice@example.com").await;
    let raw = rusqlite::Connection::open(folder.path().join("sso.db")).unwrap();
    raw.execute_batch(
        "PRAGMA ignore_check_constraints = ON;
         UPDATE users SET email = 'nowhere', email_canonical = 'nowhere'",
    )
    .unwrap();
    let read = server.user(alice.id, Freshness::Any).await;
    assert!(matches!(read, Err(StoreError::Corrupt(_))));
    let mut tx = server.begin().await.unwrap();
    let write = tx.set_admin(alice.id, true).await;
    assert!(matches!(write, Err(StoreError::Corrupt(_))));
}
