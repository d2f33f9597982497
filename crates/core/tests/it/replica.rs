//! A replica that lags: it carries reads, and decides nothing.

use std::{sync::Arc, time::Duration};

use sso_core::{
    Caller,
    ports::store::User,
    usecases::{
        administer::{Change, delete},
        info, is_admin,
    },
    values::UserId,
};
use sso_testkit::app::{App, password_of};

use crate::support::{
    AnyStore, access, app, assert_alive, code, hasher::SpyHasher, on_every_store, spy::SpyStore,
};

on_every_store! {
    a_user_whom_the_replica_has_not_is_asked_for_on_the_primary_before_any_hashing
    a_new_password_is_taken_though_the_replica_has_the_old_one
    an_old_password_is_refused_though_the_replica_has_it
    who_is_disabled_on_the_primary_is_not_let_in_by_the_replica
    who_was_deleted_and_has_registered_anew_is_let_in
    a_right_that_was_taken_does_not_come_back_by_the_replica
    a_caller_sees_himself_at_least_as_his_token_says
    nobody_is_an_administrator_by_a_row_that_is_known_to_be_old
}

const NEW: &str = "a new secret of alice";

/// An app with alice, whose row the replica keeps as it is now.
async fn lagging(store: AnyStore, before: Option<Change>) -> (App, Arc<SpyStore>, User) {
    let spy = SpyStore::before(store);
    let app = app(spy.clone()).await;
    let id = app.register("alice").await.unwrap().user;
    if let Some(change) = before {
        app.change(id, change).await.unwrap();
    }
    let user = app.user(id).await.unwrap();
    spy.freeze_replica(vec![user.clone()]);
    (app, spy, user)
}

async fn a_user_whom_the_replica_has_not_is_asked_for_on_the_primary_before_any_hashing(
    store: AnyStore,
) {
    let (mut app, spy, _) = lagging(store, None).await;
    spy.freeze_replica(Vec::new());
    let hashes = SpyHasher::watch(&mut app, Duration::ZERO);
    let tokens = app.login("alice", &password_of("alice")).await.unwrap();
    assert_eq!(hashes.take(), (1, 0), "against a stored hash, for nobody");
    assert_alive(&app, &tokens).await;
    assert_eq!(code(app.login("nobody", NEW).await), "invalid_credentials");
    assert_eq!(hashes.take(), (0, 1));
}

async fn a_new_password_is_taken_though_the_replica_has_the_old_one(store: AnyStore) {
    let (mut app, _spy, user) = lagging(store, None).await;
    app.set_password(user.id, NEW).await.unwrap();
    let hashes = SpyHasher::watch(&mut app, Duration::ZERO);
    let tokens = app.login("alice", NEW).await.unwrap();
    assert_eq!(hashes.take(), (2, 0));
    assert_alive(&app, &tokens).await;
}

async fn an_old_password_is_refused_though_the_replica_has_it(store: AnyStore) {
    let (mut app, _spy, user) = lagging(store, None).await;
    app.set_password(user.id, NEW).await.unwrap();
    let hashes = SpyHasher::watch(&mut app, Duration::ZERO);
    assert_eq!(
        code(app.login("alice", &password_of("alice")).await),
        "invalid_credentials"
    );
    assert_eq!(hashes.take(), (2, 0));
    // A password that never was is compared with both.
    assert_eq!(
        code(app.login("alice", "another one").await),
        "invalid_credentials"
    );
    assert_eq!(hashes.take(), (2, 0));
}

async fn who_is_disabled_on_the_primary_is_not_let_in_by_the_replica(store: AnyStore) {
    let (mut app, _spy, user) = lagging(store, None).await;
    app.change(user.id, Change::Disable).await.unwrap();
    let hashes = SpyHasher::watch(&mut app, Duration::ZERO);
    assert_eq!(
        code(app.login("alice", &password_of("alice")).await),
        "user_disabled"
    );
    assert_eq!(
        code(app.login("alice", "another one").await),
        "invalid_credentials"
    );
    assert_eq!(hashes.take(), (2, 0));
}

async fn who_was_deleted_and_has_registered_anew_is_let_in(store: AnyStore) {
    let (app, _spy, old) = lagging(store, None).await;
    delete(&app.sso, &Caller::operator(), old.id).await.unwrap();
    assert_eq!(
        code(app.login("alice", &password_of("alice")).await),
        "invalid_credentials"
    );
    let new = app.register("alice").await.unwrap().user;
    let tokens = app.login("alice", &password_of("alice")).await.unwrap();
    assert_eq!(access(&app, &tokens).user, new);
    assert_eq!(
        code(app.login("alice", "another one").await),
        "invalid_credentials"
    );
}

async fn a_right_that_was_taken_does_not_come_back_by_the_replica(store: AnyStore) {
    let (app, _spy, user) = lagging(store, Some(Change::GrantAdmin)).await;
    app.change(user.id, Change::TakeAdmin).await.unwrap();
    let tokens = app.login("alice", &password_of("alice")).await.unwrap();
    assert!(!access(&app, &tokens).is_admin);
    let tokens = app.refresh(&tokens.refresh_token).await.unwrap();
    assert!(!access(&app, &tokens).is_admin);
    app.validate(&tokens.access_token).await.unwrap();
}

async fn a_caller_sees_himself_at_least_as_his_token_says(store: AnyStore) {
    let (app, spy, user) = lagging(store, None).await;
    app.change(user.id, Change::GrantAdmin).await.unwrap();
    let tokens = app.login("alice", &password_of("alice")).await.unwrap();
    let caller = app.caller(&tokens.access_token).await.unwrap();
    assert!(info::info(&app.sso, &caller).await.unwrap().is_admin);
    // Without a lease the primary is asked, though the replica's row would do for the token.
    spy.freeze_replica(vec![app.user(user.id).await.unwrap()]);
    let primary = &app.sso.store;
    let mut tx = primary.begin().await.unwrap();
    tx.set_admin(user.id, false).await.unwrap();
    tx.commit().await.unwrap();
    assert!(info::info(&app.sso, &caller).await.unwrap().is_admin);
    app.clock.advance(Duration::from_secs(10));
    assert!(!info::info(&app.sso, &caller).await.unwrap().is_admin);
}

async fn nobody_is_an_administrator_by_a_row_that_is_known_to_be_old(store: AnyStore) {
    let (app, _spy, user) = lagging(store, Some(Change::GrantAdmin)).await;
    let asks = async |id: UserId| is_admin::is_admin(&app.sso, id).await.unwrap();
    assert!(asks(user.id).await);
    // Taken by another process: until its entry is here the replica may be believed...
    let mut tx = app.sso.store.begin().await.unwrap();
    tx.set_admin(user.id, false).await.unwrap();
    tx.commit().await.unwrap();
    assert!(asks(user.id).await);
    // ... for as long as the lease.
    app.clock.advance(Duration::from_secs(10));
    assert!(!asks(user.id).await);
    app.sso.revocations.beat().await.unwrap();
    assert!(asks(user.id).await);
    app.change(user.id, Change::TakeAdmin).await.unwrap();
    assert!(!asks(user.id).await);
}
