//! Login: one hash for each attempt, and failures that look alike.

use std::{future::Future, sync::atomic::Ordering, time::Duration};

use sso_core::{Policy, ports::TokenRefused, usecases::administer::Change, values::PasswordHash};
use sso_testkit::app::{App, password_of};

use crate::support::{
    AnyStore, SECOND, access, app, app_with, assert_alive, assert_over, code, hasher::SpyHasher,
    import, on_every_store, spy::SpyStore,
};

on_every_store! {
    the_right_password_opens_a_session_of_its_own
    every_failure_is_answered_at_the_next_multiple_of_the_floor_and_no_success_is
    a_wrong_current_password_is_answered_at_the_floor_too
    a_store_that_is_away_tells_by_no_time_who_has_an_account
    each_attempt_costs_one_hash_also_where_there_is_nobody
    whether_an_account_is_disabled_is_told_only_to_who_knows_the_password
    a_stored_hash_that_cannot_be_used_looks_like_a_wrong_password
    an_imported_hash_is_replaced_after_the_answer
    the_oldest_session_ends_when_there_are_too_many
}

const FLOOR: Duration = Duration::from_millis(250);

fn with_floor(policy: &mut Policy) {
    policy.failure_floor = FLOOR;
}

/// How long an answer takes by the app's clock, which moves only while somebody sleeps.
async fn timed<T: Send + 'static>(
    app: &App,
    work: impl Future<Output = T> + Send + 'static,
) -> (T, Duration) {
    let arrival = app.sso.clock.monotonic();
    let working = tokio::spawn(work);
    while !working.is_finished() {
        if app.clock.sleepers() > 0 {
            app.clock.advance(Duration::from_millis(1));
        }
        tokio::task::yield_now().await;
    }
    (working.await.unwrap(), app.sso.clock.monotonic() - arrival)
}

async fn login(app: &App, name: &'static str, password: &str) -> (&'static str, Duration) {
    let (caller, password) = (app.clone(), password.to_owned());
    let login = async move { caller.login(name, &password).await };
    let (result, took) = timed(app, login).await;
    (
        result.map_or_else(|failure| failure.code, |_| "success"),
        took,
    )
}

async fn the_right_password_opens_a_session_of_its_own(store: AnyStore) {
    let app = app(store).await;
    let first = app.register("alice").await.unwrap();
    // However the address is spelt.
    let second = app.login("ALICE", &password_of("alice")).await.unwrap();
    assert_eq!(second.user, first.user);
    assert_ne!(access(&app, &second).session, access(&app, &first).session);
    assert_alive(&app, &first).await;
    assert_alive(&app, &second).await;
}

async fn every_failure_is_answered_at_the_next_multiple_of_the_floor_and_no_success_is(
    store: AnyStore,
) {
    let plain = app_with(store, with_floor).await;
    plain.register("alice").await.unwrap();
    let bob = plain.register("bob").await.unwrap();
    plain.change(bob.user, Change::Disable).await.unwrap();
    let costs = [(0, 250), (249, 250), (250, 500), (300, 500)];
    for (cost, answered) in costs.map(|(a, b)| (Duration::from_millis(a), Duration::from_millis(b)))
    {
        let mut app = plain.clone();
        SpyHasher::watch(&mut app, cost);
        let alices = password_of("alice");
        assert_eq!(
            login(&app, "nobody", &alices).await,
            ("invalid_credentials", answered)
        );
        assert_eq!(
            login(&app, "alice", "another one").await,
            ("invalid_credentials", answered)
        );
        assert_eq!(
            login(&app, "bob", "another one").await,
            ("invalid_credentials", answered)
        );
        assert_eq!(
            login(&app, "bob", &password_of("bob")).await,
            ("user_disabled", answered)
        );
        assert_eq!(login(&app, "alice", &alices).await, ("success", cost));
    }
}

async fn a_wrong_current_password_is_answered_at_the_floor_too(store: AnyStore) {
    let app = app_with(store, with_floor).await;
    let tokens = app.register("alice").await.unwrap();
    let caller = app.clone();
    let change = async move {
        let new = "a new secret of alice";
        caller
            .change_password(&tokens.access_token, "another one", new)
            .await
    };
    let (result, took) = timed(&app, change).await;
    assert_eq!((code(result), took), ("invalid_credentials", FLOOR));
}

/// Who is on no replica is looked for on the primary before anything is hashed.
async fn a_store_that_is_away_tells_by_no_time_who_has_an_account(store: AnyStore) {
    let spy = SpyStore::before(store);
    let app = app_with(spy.clone(), with_floor).await;
    spy.fail_search.store(true, Ordering::Relaxed);
    assert_eq!(
        login(&app, "nobody", "a secret").await,
        ("unavailable", FLOOR)
    );
}

async fn each_attempt_costs_one_hash_also_where_there_is_nobody(store: AnyStore) {
    let mut app = app(store).await;
    app.register("alice").await.unwrap();
    let spy = SpyHasher::watch(&mut app, Duration::ZERO);
    app.login("alice", &password_of("alice")).await.unwrap();
    assert_eq!(spy.take(), (1, 0), "against a stored hash, for nobody");
    app.login("alice", "another one").await.unwrap_err();
    assert_eq!(spy.take(), (1, 0));
    app.login("nobody", "another one").await.unwrap_err();
    assert_eq!(spy.take(), (0, 1));
}

async fn whether_an_account_is_disabled_is_told_only_to_who_knows_the_password(store: AnyStore) {
    let app = app(store).await;
    let alice = app.register("alice").await.unwrap();
    app.change(alice.user, Change::Disable).await.unwrap();
    assert_eq!(
        code(app.login("alice", "another one").await),
        "invalid_credentials"
    );
    assert_eq!(
        code(app.login("alice", &password_of("alice")).await),
        "user_disabled"
    );
    app.change(alice.user, Change::Enable).await.unwrap();
    app.login("alice", &password_of("alice")).await.unwrap();
    assert_over(&app, &alice).await;
}

async fn a_stored_hash_that_cannot_be_used_looks_like_a_wrong_password(store: AnyStore) {
    let app = app(store).await;
    let too_much = "$argon2id$v=19$m=4194304,t=99,p=1$c29tZXNhbHRzb21lc2E$";
    for (name, hash) in [("alice", "$1$md5crypt"), ("bob", too_much)] {
        import(&app, name, PasswordHash::new(hash)).await;
        assert_eq!(
            code(app.login(name, &password_of(name)).await),
            "invalid_credentials"
        );
    }
}

async fn an_imported_hash_is_replaced_after_the_answer(store: AnyStore) {
    let app = app(store).await;
    let bcrypt = bcrypt::hash(password_of("alice"), 4).unwrap();
    let alice = import(&app, "alice", PasswordHash::new(bcrypt)).await;
    let tokens = app.login("alice", &password_of("alice")).await.unwrap();
    app.tasks.wait().await;
    let stored = app.user(alice.id).await.unwrap();
    assert!(stored.password_hash.as_str().starts_with("$argon2id$"));
    assert_eq!(stored.version, alice.version);
    assert_alive(&app, &tokens).await;
    app.login("alice", &password_of("alice")).await.unwrap();
    app.tasks.wait().await;
    assert_eq!(app.user(alice.id).await.unwrap(), stored);
}

async fn the_oldest_session_ends_when_there_are_too_many(store: AnyStore) {
    let app = app_with(store, |policy| policy.max_sessions = 2).await;
    let oldest = app.register("alice").await.unwrap();
    app.clock.advance(SECOND);
    let middle = app.login("alice", &password_of("alice")).await.unwrap();
    app.clock.advance(SECOND);
    app.validate(&oldest.access_token).await.unwrap();
    let newest = app.login("alice", &password_of("alice")).await.unwrap();
    assert_eq!(
        app.validate(&oldest.access_token).await,
        Err(TokenRefused::Revoked)
    );
    assert_over(&app, &oldest).await;
    assert_alive(&app, &middle).await;
    assert_alive(&app, &newest).await;
}
