//! A user, his first session and the event that tells of it, or nothing of all that.

use std::sync::atomic::Ordering;

use prost::Message;
use sso_core::{
    Caller, Fields,
    ports::store::{Freshness, Liveness},
    usecases::{
        administer::Change,
        login,
        register::{self, Input, Register, RegisterError},
    },
    values::{Email, ShardSet},
};
use sso_events::registration::RegistrationMessage;
use sso_testkit::app::{App, anonymous, email_of, password_of};

use crate::support::{
    AnyStore, access, app, app_with, assert_alive, assert_over, at_once, code, on_every_store,
    refreshing, spy::SpyStore,
};

on_every_store! {
    tokens_come_from_what_was_written_and_nothing_is_read_back
    the_event_is_in_progress_once_the_user_is_stored
    a_commit_that_fails_leaves_neither_user_nor_event
    what_the_store_did_not_do_is_done_once_more
    of_fifty_registrations_of_one_address_one_wins
    where_registration_is_switched_off_only_the_operator_registers
    only_the_operator_creates_users
    who_wants_no_tokens_gets_no_session
    every_bad_field_is_named
}

fn alice(app: &App) -> Register {
    let (email, password) = (email_of("alice"), password_of("alice"));
    let input = Input {
        email: Some(&email),
        password: Some(&password),
        name: Some("Alice Liddell"),
        birthday: Some("1990-05-04"),
    };
    Register::parse(&app.sso, &input, Fields::default()).unwrap()
}

async fn tokens_come_from_what_was_written_and_nothing_is_read_back(store: AnyStore) {
    let spy = SpyStore::before(store);
    let app = app(spy.clone()).await;
    spy.take();
    let tokens = app.register("Alice").await.unwrap();
    assert_eq!(spy.take(), (0, 1), "reads, transactions");

    let (access, refreshing) = (access(&app, &tokens), refreshing(&app, &tokens));
    let user = app.user(tokens.user).await.unwrap();
    let session = app
        .sso
        .store
        .session(access.session)
        .await
        .unwrap()
        .unwrap();
    assert_eq!((access.user, access.version), (user.id, user.version));
    assert_eq!(access.email, "Alice@example.com");
    assert!(!access.is_admin);
    assert_eq!(
        (refreshing.session, refreshing.generation),
        (session.id, session.generation)
    );
    assert_eq!(refreshing.expires_at, session.expires_at);
    app.validate(&tokens.access_token).await.unwrap();
}

async fn the_event_is_in_progress_once_the_user_is_stored(store: AnyStore) {
    let app = app(store).await;
    let request = alice(&app);
    let tokens = register::register(&app.sso, &anonymous(), request)
        .await
        .unwrap();
    let pending = app
        .sso
        .store
        .pending_events(ShardSet::ALL, 10)
        .await
        .unwrap();
    let [event] = pending.as_slice() else {
        panic!("{pending:?}")
    };
    assert_eq!(
        (event.user, event.kind.as_str()),
        (tokens.user, "registration")
    );
    assert_eq!(event.attempts, 0);
    let message = RegistrationMessage::decode(event.payload.as_slice()).unwrap();
    assert_eq!(message.email, "alice@example.com");
    assert_eq!(message.full_name, "Alice Liddell");
    assert_eq!(message.event_id, event.id.to_string());
    assert_eq!(message.user_id, tokens.user.to_string());
}

async fn a_commit_that_fails_leaves_neither_user_nor_event(store: AnyStore) {
    let spy = SpyStore::before(store);
    let app = app(spy.clone()).await;
    spy.fail_commit.store(true, Ordering::Relaxed);
    assert_eq!(code(app.register("alice").await), "unavailable");
    let email = Email::parse(&email_of("alice")).unwrap();
    let stored = app
        .sso
        .store
        .user_by_email(&email, Freshness::Primary)
        .await
        .unwrap();
    assert_eq!(stored, None);
    assert!(
        app.sso
            .store
            .pending_events(ShardSet::ALL, 10)
            .await
            .unwrap()
            .is_empty()
    );
    app.register("alice").await.unwrap();
}

/// Once: the second failure is the client's to wait for.
async fn what_the_store_did_not_do_is_done_once_more(store: AnyStore) {
    let spy = SpyStore::before(store);
    let app = app(spy.clone()).await;
    spy.undo_commits.store(1, Ordering::Relaxed);
    let tokens = app.register("alice").await.unwrap();
    assert_alive(&app, &tokens).await;
    assert_eq!(
        app.sso
            .store
            .pending_events(ShardSet::ALL, 10)
            .await
            .unwrap()
            .len(),
        1
    );
    let password = password_of("alice");
    spy.undo_commits.store(1, Ordering::Relaxed);
    let second = app.login("alice", &password).await.unwrap();
    spy.undo_commits.store(1, Ordering::Relaxed);
    app.logout(&second.access_token, false).await.unwrap();
    assert_over(&app, &second).await;
    spy.undo_commits.store(1, Ordering::Relaxed);
    app.change(tokens.user, Change::Disable).await.unwrap();
    assert_over(&app, &tokens).await;

    spy.undo_commits.store(2, Ordering::Relaxed);
    assert_eq!(code(app.register("bob").await), "unavailable");
    app.register("bob").await.unwrap();
}

async fn of_fifty_registrations_of_one_address_one_wins(store: AnyStore) {
    let app = app(store).await;
    let results = at_once(50, |at| {
        let app = app.clone();
        let spelling = if at % 2 == 0 { "ALICE" } else { "alice" };
        async move { app.register(spelling).await }
    })
    .await;
    let (winners, losers): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    assert_eq!(winners.len(), 1);
    for loser in losers {
        assert_eq!(code(loser), "user_exists");
    }
    assert_eq!(
        app.sso
            .store
            .pending_events(ShardSet::ALL, 100)
            .await
            .unwrap()
            .len(),
        1
    );
}

async fn where_registration_is_switched_off_only_the_operator_registers(store: AnyStore) {
    let app = app_with(store, |policy| policy.registration_enabled = false).await;
    assert_eq!(code(app.register("alice").await), "forbidden");
    let refused = register::create(&app.sso, &anonymous(), alice(&app), true).await;
    assert_eq!(code(refused), "forbidden");

    let created = register::create(&app.sso, &Caller::operator(), alice(&app), true).await;
    assert!(created.unwrap().is_admin);
    let tokens = app.login("alice", &password_of("alice")).await.unwrap();
    assert!(access(&app, &tokens).is_admin);
    let caller = app.caller(&tokens.access_token).await.unwrap();
    let asked = register::register(&app.sso, &caller, alice(&app));
    assert!(matches!(asked.await, Err(RegisterError::SwitchedOff)));
}

async fn only_the_operator_creates_users(store: AnyStore) {
    let app = app(store).await;
    let bob = app.register("bob").await.unwrap();
    for caller in [anonymous(), app.caller(&bob.access_token).await.unwrap()] {
        let refused = register::create(&app.sso, &caller, alice(&app), true).await;
        assert_eq!(code(refused), "forbidden");
    }
    let created = register::create(&app.sso, &Caller::operator(), alice(&app), false).await;
    assert!(!created.unwrap().is_admin);
}

async fn who_wants_no_tokens_gets_no_session(store: AnyStore) {
    let app = app(store).await;
    let id = register::register_only(&app.sso, &anonymous(), alice(&app))
        .await
        .unwrap();
    let alive = Liveness::at(app.sso.clock.now());
    assert!(
        app.sso
            .store
            .live_sessions(id, alive)
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(
        app.sso
            .store
            .pending_events(ShardSet::ALL, 10)
            .await
            .unwrap()
            .len(),
        1
    );
}

async fn every_bad_field_is_named(store: AnyStore) {
    let app = app(store).await;
    let input = Input {
        email: Some("alice"),
        password: Some("short"),
        name: Some("\u{7}"),
        birthday: Some("1990-02-30"),
    };
    let bad = Register::parse(&app.sso, &input, Fields::default())
        .unwrap_err()
        .0;
    let named: Vec<_> = bad.iter().map(|bad| (bad.field, bad.code)).collect();
    assert_eq!(
        named,
        [
            ("email", "invalid_email"),
            ("password", "weak_password"),
            ("name", "invalid_name"),
            ("birthday", "invalid_birthday"),
        ]
    );
    // The rules for new passwords are not for logins.
    let input = login::Input {
        email: Some("alice@example.com"),
        password: Some("short"),
    };
    login::Login::parse(&input, Fields::default()).unwrap();
}
