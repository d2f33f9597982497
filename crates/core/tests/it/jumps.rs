//! Clocks that are set, and lives of tokens that are changed: what is over stays over.

use std::{sync::Arc, time::Duration};

use sso_core::{
    Policy,
    ports::{
        Store, TokenRefused,
        store::{NewRevocation, Revoked, Swept},
    },
    usecases::janitor::{Ages, sweep},
};
use sso_testkit::{app::App, clock::ManualClock};
use time::ext::NumericalDuration;

use crate::support::{AnyStore, SECOND, access, app, on_every_store, spy::SpyStore};

on_every_store! {
    a_clock_that_was_ahead_for_a_while_makes_nothing_good_again
    a_token_is_as_old_as_the_row_that_it_was_made_of
    what_others_end_while_the_clock_is_ahead_is_heard_and_kept
    what_was_signed_by_a_clock_that_was_ahead_can_be_ended_after_it_was_set_back
    the_janitor_keeps_what_a_clock_that_is_ahead_says_is_over
    a_shorter_life_of_tokens_forgets_no_revocation_of_longer_ones
    a_longer_life_that_another_process_begins_counts_at_once
}

const MINUTE: Duration = Duration::from_mins(1);

async fn refused(app: &App, token: &str) -> Option<TokenRefused> {
    app.validate(token).await.err()
}

async fn a_clock_that_was_ahead_for_a_while_makes_nothing_good_again(store: AnyStore) {
    let app = app(store).await;
    let (alice, bob) = (
        app.register("alice").await.unwrap(),
        app.register("bob").await.unwrap(),
    );
    app.logout(&alice.access_token, false).await.unwrap();
    app.clock.jump(1.hours());
    app.advance(SECOND).await.unwrap();
    assert_eq!(
        refused(&app, &bob.access_token).await,
        Some(TokenRefused::Expired)
    );
    app.clock.jump(-(1.hours()));
    app.advance(SECOND).await.unwrap();
    assert_eq!(refused(&app, &bob.access_token).await, None);
    assert_eq!(
        refused(&app, &alice.access_token).await,
        Some(TokenRefused::Revoked)
    );
}

/// A process that stands still between the answer and the signature: what ended the session meanwhile is
/// remembered for as long as a token lives that was signed before.
async fn a_token_is_as_old_as_the_row_that_it_was_made_of(store: AnyStore) {
    let spy = SpyStore::before(store);
    let app = app(spy.clone()).await;
    let alice = app.register("alice").await.unwrap();
    let asked = app.sso.clock.now();
    spy.slow_refreshes(&app.clock, MINUTE);
    let next = app.refresh(&alice.refresh_token).await.unwrap();
    assert!(access(&app, &next).issued_at <= asked);
    assert_eq!(app.sso.clock.now(), asked + MINUTE);
}

async fn what_others_end_while_the_clock_is_ahead_is_heard_and_kept(store: AnyStore) {
    let app = app(store).await;
    let alice = app.register("alice").await.unwrap();
    // Theirs is right.
    let until = app.sso.clock.now() + app.sso.policy.revocation_life(Duration::ZERO);
    let revoked = Revoked::Session(access(&app, &alice).session);
    app.clock.jump(1.hours());
    let mut tx = app.sso.store.begin().await.unwrap();
    tx.revoke(&NewRevocation { revoked, until }).await.unwrap();
    tx.commit().await.unwrap();
    app.advance(SECOND).await.unwrap();
    app.advance(SECOND).await.unwrap();
    app.clock.jump(-(1.hours()));
    assert_eq!(
        refused(&app, &alice.access_token).await,
        Some(TokenRefused::Revoked)
    );
}

async fn what_was_signed_by_a_clock_that_was_ahead_can_be_ended_after_it_was_set_back(
    store: AnyStore,
) {
    let app = app(store).await;
    app.clock.jump(1.hours());
    let alice = app.register("alice").await.unwrap();
    app.clock.jump(-(1.hours()));
    app.logout(&alice.access_token, false).await.unwrap();
    // Within its `iat` and `exp`, and long after a life of tokens has passed.
    app.advance(65 * MINUTE).await.unwrap();
    assert_eq!(
        refused(&app, &alice.access_token).await,
        Some(TokenRefused::Revoked)
    );
}

async fn the_janitor_keeps_what_a_clock_that_is_ahead_says_is_over(store: AnyStore) {
    let app = app(store).await;
    let alice = app.register("alice").await.unwrap();
    app.logout(&alice.access_token, false).await.unwrap();
    let ages = Ages {
        events: Duration::from_hours(1),
        audit: Duration::from_hours(1),
        batch: 100,
    };
    app.clock.jump(9.days());
    let swept = async || {
        let (swept, _) = sweep(&app.sso, Swept::Revocations, &ages).await.unwrap();
        swept
    };
    assert_eq!(swept().await, 0);
    app.advance(20 * MINUTE).await.unwrap();
    assert_eq!(swept().await, 1);
}

async fn with_life(store: &AnyStore, clock: &Arc<ManualClock>, life: Duration) -> App {
    let policy = Policy {
        access_ttl: life,
        failure_floor: Duration::ZERO,
        ..Policy::default()
    };
    let store: Arc<dyn Store> = Arc::clone(store);
    App::with_policy(store, Arc::clone(clock), policy)
        .await
        .unwrap()
}

async fn a_shorter_life_of_tokens_forgets_no_revocation_of_longer_ones(store: AnyStore) {
    let clock = Arc::default();
    let before = with_life(&store, &clock, 60 * MINUTE).await;
    let alice = before.register("alice").await.unwrap();
    drop(before);
    let app = with_life(&store, &clock, 5 * MINUTE).await;
    app.logout(&alice.access_token, false).await.unwrap();
    app.advance(59 * MINUTE).await.unwrap();
    assert_eq!(
        refused(&app, &alice.access_token).await,
        Some(TokenRefused::Revoked)
    );
    app.advance(2 * MINUTE).await.unwrap();
    assert_eq!(app.sso.revocations.entries(), 0);
}

async fn a_longer_life_that_another_process_begins_counts_at_once(store: AnyStore) {
    let clock = Arc::default();
    let app = with_life(&store, &clock, 5 * MINUTE).await;
    let other = with_life(&store, &clock, 60 * MINUTE).await;
    let alice = other.register("alice").await.unwrap();
    app.logout(&alice.access_token, false).await.unwrap();
    app.advance(59 * MINUTE).await.unwrap();
    assert_eq!(
        refused(&app, &alice.access_token).await,
        Some(TokenRefused::Revoked)
    );
}
