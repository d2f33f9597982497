//! Transactions.

use std::sync::Arc;

use sso_core::{
    ports::{
        Store, StoreError,
        store::{Constraint, Freshness, Liveness, NewRevocation, Revoked, User},
    },
    values::ShardSet,
};

use super::given::{Given, NOW};

/// Everything a registration writes, and a revocation.
async fn write_everything(
    store: &Arc<dyn Store>,
    given: &Given,
) -> (Box<dyn sso_core::ports::Tx>, User) {
    let mut tx = store.begin().await.unwrap();
    let user = tx
        .insert_user(&given.new_user("alice@example.com"))
        .await
        .unwrap();
    let session = given.new_session(user.id, NOW);
    let (_, session) = tx
        .open_session(&session, user.version)
        .await
        .unwrap()
        .unwrap();
    tx.append_event(&given.new_event(user.id)).await.unwrap();
    let revoked = Revoked::Session(session.id);
    tx.revoke(&NewRevocation {
        revoked,
        until: NOW,
    })
    .await
    .unwrap();
    (tx, user)
}

/// How much of it can be read: user by id and by address, sessions, events, revocations.
async fn read_everything(store: &Arc<dyn Store>, user: &User) -> [usize; 5] {
    [
        usize::from(
            store
                .user(user.id, Freshness::Primary)
                .await
                .unwrap()
                .is_some(),
        ),
        usize::from(
            store
                .user_by_email(&user.email, Freshness::Any)
                .await
                .unwrap()
                .is_some(),
        ),
        store
            .live_sessions(user.id, Liveness::at(NOW))
            .await
            .unwrap()
            .len(),
        store.pending_events(ShardSet::ALL, 9).await.unwrap().len(),
        super::revocations::beat(store, NOW).await.len(),
    ]
}

/// Dropping rolls back.
pub async fn a_dropped_transaction_leaves_nothing(store: Arc<dyn Store>) {
    let given = Given::new();
    let (tx, user) = write_everything(&store, &given).await;
    drop(tx);
    assert_eq!(read_everything(&store, &user).await, [0; 5]);
    // Nor does anything of it stand in the way.
    given.user(&store, "alice@example.com").await;
}

/// A commit is seen by whatever is read after it returned.
pub async fn a_committed_transaction_is_visible_to_every_read(store: Arc<dyn Store>) {
    let given = Given::new();
    let (tx, user) = write_everything(&store, &given).await;
    tx.commit().await.unwrap();
    assert_eq!(read_everything(&store, &user).await, [1; 5]);
}

/// No read shows half a transaction.
pub async fn what_is_not_committed_is_seen_by_nobody(store: Arc<dyn Store>) {
    let given = Given::new();
    let (tx, user) = write_everything(&store, &given).await;
    assert_eq!(read_everything(&store, &user).await, [0; 5]);
    tx.commit().await.unwrap();
    assert_eq!(read_everything(&store, &user).await, [1; 5]);
}

/// What was written before the failure goes with it.
pub async fn a_transaction_is_over_with_its_first_failed_statement(store: Arc<dyn Store>) {
    let given = Given::new();
    given.user(&store, "alice@example.com").await;
    let mut tx = store.begin().await.unwrap();
    let bob = tx
        .insert_user(&given.new_user("bob@example.com"))
        .await
        .unwrap();
    let again = tx.insert_user(&given.new_user("alice@example.com")).await;
    assert!(matches!(
        again,
        Err(StoreError::Conflict(Constraint::Email))
    ));
    assert!(tx.set_admin(bob.id, true).await.is_err());
    assert!(tx.commit().await.is_err());
    assert_eq!(store.user(bob.id, Freshness::Primary).await.unwrap(), None);
}

/// As if each had been stored by itself; all of it or nothing.
pub async fn a_registration_is_a_user_with_his_event_and_his_session(store: Arc<dyn Store>) {
    let given = Given::new();
    let new = given.new_user("alice@example.com");
    let (event, session) = (given.new_event(new.id), given.new_session(new.id, NOW));
    let (user, opened) = commit!(store, tx => tx.register(&new, &event, Some(&session)));
    assert_eq!(read_everything(&store, &user).await, [1, 1, 1, 1, 0]);
    let opened = opened.unwrap();
    assert_eq!((opened.id, opened.version), (session.id, user.version));
    assert_eq!(store.session(opened.id).await.unwrap(), Some(opened));
    assert_eq!(
        store.user(user.id, Freshness::Primary).await.unwrap(),
        Some(user)
    );

    let bob = given.new_user("bob@example.com");
    let event = given.new_event(bob.id);
    let (bob, none) = commit!(store, tx => tx.register(&bob, &event, None));
    assert_eq!(none, None);
    assert_eq!(read_everything(&store, &bob).await, [1, 1, 0, 2, 0]);

    let again = given.new_user("alice@example.com");
    let (event, session) = (given.new_event(again.id), given.new_session(again.id, NOW));
    let mut tx = store.begin().await.unwrap();
    let refused = tx.register(&again, &event, Some(&session)).await;
    assert!(matches!(
        refused,
        Err(StoreError::Conflict(Constraint::Email))
    ));
    assert!(tx.commit().await.is_err());
    assert_eq!(
        store.pending_events(ShardSet::ALL, 9).await.unwrap().len(),
        2
    );
    assert_eq!(store.session(session.id).await.unwrap(), None);
}

/// Nothing to do is no error.
pub async fn an_empty_transaction_commits(store: Arc<dyn Store>) {
    store.begin().await.unwrap().commit().await.unwrap();
}

/// The primary answers.
pub async fn the_store_answers(store: Arc<dyn Store>) {
    store.ping().await.unwrap();
}
