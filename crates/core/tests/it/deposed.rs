//! What is refused by a row, where the primary may have been deposed: it waits for a beat.

use std::{
    sync::{Arc, Mutex, atomic::Ordering},
    time::Duration,
};

use async_trait::async_trait;
use sso_core::{
    Failure, Fields, Network, Sso,
    ports::{Attempt, Permit, Settled, Throttle, Throttled},
    revocation::{LeaseTerms, Revocations},
    usecases::{SignedIn, is_admin, login},
    values::UserId,
};
use sso_testkit::app::{App, email_of, password_of};
use tokio::task::{JoinHandle, yield_now};

use crate::support::{AnyStore, TICK, app, code, on_every_store, spy::SpyStore};

on_every_store! {
    a_refusal_is_told_when_a_beat_was_answered_on_the_same_timeline
    a_refusal_of_before_a_promotion_is_not_told_and_asked_for_again
    a_refusal_without_a_beat_is_no_answer
    without_a_lease_no_answer_of_the_primary_is_told_before_a_beat
    a_login_that_is_refused_waits_for_a_beat_and_one_that_is_not_does_not
    a_wrong_password_counts_though_no_beat_confirms_it
    before_the_first_beat_nothing_is_told_that_was_read_before_it
    without_timelines_nothing_is_waited_for
}

/// Longer than a refusal waits.
const PATIENCE: Duration = Duration::from_secs(5);
/// As in `LeaseTerms::default`.
const LEASE: Duration = Duration::from_secs(10);

/// An app whose beats are answered on timeline 1.
async fn on_a_timeline(store: AnyStore) -> (App, Arc<SpyStore>) {
    let spy = SpyStore::before(store);
    spy.timeline.store(1, Ordering::Relaxed);
    (app(spy.clone()).await, spy)
}

/// Asks for somebody who is not there, until it waits for a beat.
async fn asked(app: &App) -> JoinHandle<Result<bool, Failure>> {
    asked_for(app, UserId::from_uuid(uuid::Uuid::from_u128(7))).await
}

async fn asked_for(app: &App, user: UserId) -> JoinHandle<Result<bool, Failure>> {
    let sso: Sso = app.sso.clone();
    let asked = tokio::spawn(async move { Ok(is_admin::is_admin(&sso, user).await?) });
    waits(app).await;
    assert!(!asked.is_finished());
    asked
}

async fn waits(app: &App) {
    eventually(|| app.clock.sleepers() > 0).await;
}

async fn eventually(holds: impl Fn() -> bool) {
    let look = async {
        while !holds() {
            yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), look)
        .await
        .unwrap();
}

async fn a_refusal_is_told_when_a_beat_was_answered_on_the_same_timeline(store: AnyStore) {
    let (app, _) = on_a_timeline(store).await;
    let asked = asked(&app).await;
    app.advance(TICK).await.unwrap();
    assert_eq!(code(asked.await.unwrap()), "not_found");
}

async fn a_refusal_of_before_a_promotion_is_not_told_and_asked_for_again(store: AnyStore) {
    let (app, spy) = on_a_timeline(store).await;
    let asked = asked(&app).await;
    spy.timeline.store(2, Ordering::Relaxed);
    asks_again(&app, &spy, asked).await;
}

/// The answer to the next beat is not enough: the user is looked for once more, and the one after decides.
async fn asks_again(app: &App, spy: &SpyStore, asked: JoinHandle<Result<bool, Failure>>) {
    app.advance(TICK).await.unwrap();
    spy.take();
    eventually(|| spy.take().0 == 1).await;
    waits(app).await;
    assert!(!asked.is_finished());
    app.advance(TICK).await.unwrap();
    assert_eq!(code(asked.await.unwrap()), "not_found");
}

async fn a_refusal_without_a_beat_is_no_answer(store: AnyStore) {
    let (app, spy) = on_a_timeline(store).await;
    let asked = asked(&app).await;
    spy.fail_beat.store(true, Ordering::Relaxed);
    app.sso.revocations.beat().await.unwrap_err();
    app.clock.advance(PATIENCE);
    assert_eq!(code(asked.await.unwrap()), "unavailable");
}

async fn without_a_lease_no_answer_of_the_primary_is_told_before_a_beat(store: AnyStore) {
    let (app, _) = on_a_timeline(store).await;
    let alice = app.register("alice").await.unwrap().user;
    assert!(!is_admin::is_admin(&app.sso, alice).await.unwrap());
    app.clock.advance(LEASE);
    let asked = asked_for(&app, alice).await;
    app.advance(TICK).await.unwrap();
    assert!(!asked.await.unwrap().unwrap());
}

/// An instance that starts beside a deposed primary is asked before anybody has told it of a timeline.
async fn before_the_first_beat_nothing_is_told_that_was_read_before_it(store: AnyStore) {
    let (mut app, spy) = on_a_timeline(store).await;
    let starting = Revocations::new(
        app.sso.store.clone(),
        app.sso.clock.clone(),
        LeaseTerms::default(),
    );
    app.sso.revocations = Arc::new(starting.hastening(Arc::new(|| {})));
    let asked = asked(&app).await;
    asks_again(&app, &spy, asked).await;
}

async fn a_login_that_is_refused_waits_for_a_beat_and_one_that_is_not_does_not(store: AnyStore) {
    let (app, _) = on_a_timeline(store).await;
    app.register("alice").await.unwrap();
    app.login("alice", &password_of("alice")).await.unwrap();
    let refused = refused(&app).await;
    app.advance(TICK).await.unwrap();
    assert_eq!(code(refused.await.unwrap()), "invalid_credentials");
}

/// A login with a wrong password that waits for a beat.
async fn refused(app: &App) -> JoinHandle<Result<SignedIn, Failure>> {
    let sso = app.sso.clone();
    let refused = tokio::spawn(async move {
        let (email, password) = (email_of("alice"), "another one");
        let input = login::Input {
            email: Some(&email),
            password: Some(password),
        };
        let request = login::Login::parse(&input, Fields::default())?;
        Ok(login::login(&sso, &sso_testkit::app::anonymous(), request).await?)
    });
    waits(app).await;
    assert!(!refused.is_finished());
    refused
}

/// Admits everything, and remembers what became of it.
#[derive(Default)]
struct Counting(Arc<Mutex<Vec<Settled>>>);

#[async_trait]
impl Throttle for Counting {
    async fn admit(&self, _: Attempt<'_>) -> Result<Permit, Throttled> {
        let settled = Arc::clone(&self.0);
        Ok(Permit::new(move |how| settled.lock().unwrap().push(how)))
    }

    async fn admit_registration(&self, _: Network) -> Result<(), Throttled> {
        Ok(())
    }

    async fn registration_told(&self, _: Network) {}
}

async fn a_wrong_password_counts_though_no_beat_confirms_it(store: AnyStore) {
    let (mut app, spy) = on_a_timeline(store).await;
    app.register("alice").await.unwrap();
    let counting = Counting::default();
    let settled = Arc::clone(&counting.0);
    app.sso.throttle = Arc::new(counting);
    let refused = refused(&app).await;
    spy.fail_beat.store(true, Ordering::Relaxed);
    app.sso.revocations.beat().await.unwrap_err();
    app.clock.advance(PATIENCE);
    assert_eq!(code(refused.await.unwrap()), "unavailable");
    assert_eq!(*settled.lock().unwrap(), [Settled::Failed]);
}

async fn without_timelines_nothing_is_waited_for(store: AnyStore) {
    let spy = SpyStore::before(store);
    let app = app(spy).await;
    let nobody = UserId::from_uuid(uuid::Uuid::from_u128(7));
    let found = is_admin::is_admin(&app.sso, nobody).await;
    assert!(matches!(found, Err(is_admin::IsAdminError::NotFound)));
}
