//! Validation: no store, and no answer without a lease.

use std::{sync::Arc, sync::atomic::Ordering, time::Duration};

use sso_core::{
    ports::{
        TokenRefused,
        store::{NewRevocation, Revoked},
    },
    revocation::{LeaseTerms, Revocations},
    usecases::administer::Change,
    values::Version,
};
use sso_testkit::{app::App, clock::ManualClock};
use time::OffsetDateTime;

use crate::support::{AnyStore, SECOND, TICK, access, app, on_every_store, spy::SpyStore};

on_every_store! {
    validating_asks_no_store
    without_a_lease_nothing_is_validated_until_a_beat_restores_it
    a_lease_runs_from_the_moment_its_beat_was_sent
    a_beat_without_an_answer_gives_no_lease_and_takes_none
    what_another_process_revokes_is_obeyed_after_a_beat
    an_entry_is_forgotten_when_it_can_concern_no_token_and_not_before
    a_confirmation_that_failed_is_sent_again
    a_token_below_the_version_that_ended_it_is_over_and_none_above
}

/// As in `LeaseTerms::default`.
const LEASE: Duration = Duration::from_secs(10);

fn revocations(store: Arc<SpyStore>, clock: &Arc<ManualClock>) -> Revocations {
    Revocations::new(
        store,
        Arc::<ManualClock>::clone(clock),
        LeaseTerms::default(),
    )
}

/// Commits a revocation as another process does: this one is not told.
async fn revoke_elsewhere(app: &App, revoked: Revoked, until: OffsetDateTime) {
    let mut tx = app.sso.store.begin().await.unwrap();
    tx.revoke(&NewRevocation { revoked, until }).await.unwrap();
    tx.commit().await.unwrap();
}

async fn validating_asks_no_store(store: AnyStore) {
    let spy = SpyStore::before(store);
    let app = app(spy.clone()).await;
    let (good, over) = (
        app.register("alice").await.unwrap(),
        app.register("bob").await.unwrap(),
    );
    app.logout(&over.access_token, false).await.unwrap();
    spy.take();
    for _ in 0..10 {
        app.validate(&good.access_token).await.unwrap();
        assert_eq!(
            app.validate(&over.access_token).await,
            Err(TokenRefused::Revoked)
        );
        assert_eq!(app.validate("x").await, Err(TokenRefused::Invalid));
        assert_eq!(
            app.validate(&good.refresh_token).await,
            Err(TokenRefused::WrongType)
        );
    }
    assert_eq!(spy.take(), (0, 0), "reads, writes");
}

async fn without_a_lease_nothing_is_validated_until_a_beat_restores_it(store: AnyStore) {
    let app = app(store).await;
    let (good, over) = (
        app.register("alice").await.unwrap(),
        app.register("bob").await.unwrap(),
    );
    app.logout(&over.access_token, false).await.unwrap();
    app.clock.advance(LEASE - Duration::from_millis(1));
    app.validate(&good.access_token).await.unwrap();
    app.clock.advance(Duration::from_millis(1));
    for tokens in [&good, &over] {
        assert_eq!(
            app.validate(&tokens.access_token).await,
            Err(TokenRefused::Unknowable)
        );
    }
    app.sso.revocations.beat().await.unwrap();
    app.validate(&good.access_token).await.unwrap();
    assert_eq!(
        app.validate(&over.access_token).await,
        Err(TokenRefused::Revoked)
    );
}

async fn a_lease_runs_from_the_moment_its_beat_was_sent(store: AnyStore) {
    let (spy, clock) = (SpyStore::before(store), Arc::default());
    let revocations = revocations(spy.clone(), &clock);
    assert!(!revocations.is_trusted());
    spy.slow_beats(&clock, 4 * SECOND);
    revocations.beat().await.unwrap();
    assert_eq!(revocations.lease_left(), 6 * SECOND);
    // An answer that is older than a lease gives none.
    spy.slow_beats(&clock, LEASE);
    revocations.beat().await.unwrap();
    assert!(!revocations.is_trusted());
}

async fn a_beat_without_an_answer_gives_no_lease_and_takes_none(store: AnyStore) {
    let (spy, clock) = (SpyStore::before(store), Arc::default());
    let revocations = revocations(spy.clone(), &clock);
    spy.fail_beat.store(true, Ordering::Relaxed);
    revocations.beat().await.unwrap_err();
    assert!(!revocations.is_trusted());
    revocations.beat().await.unwrap();
    clock.advance(SECOND);
    spy.fail_beat.store(true, Ordering::Relaxed);
    revocations.beat().await.unwrap_err();
    assert_eq!(revocations.lease_left(), LEASE - SECOND);
}

async fn what_another_process_revokes_is_obeyed_after_a_beat(store: AnyStore) {
    let app = app(store).await;
    let (alice, bob) = (
        app.register("alice").await.unwrap(),
        app.register("bob").await.unwrap(),
    );
    let until = app.sso.clock.now() + app.sso.policy.revocation_life(Duration::ZERO);
    revoke_elsewhere(&app, Revoked::Session(access(&app, &alice).session), until).await;
    let above = access(&app, &bob).version.next(0);
    revoke_elsewhere(&app, Revoked::TokensBelow(bob.user, above), until).await;
    for tokens in [&alice, &bob] {
        app.validate(&tokens.access_token).await.unwrap();
    }
    app.sso.revocations.beat().await.unwrap();
    for tokens in [&alice, &bob] {
        assert_eq!(
            app.validate(&tokens.access_token).await,
            Err(TokenRefused::Revoked)
        );
    }
}

async fn an_entry_is_forgotten_when_it_can_concern_no_token_and_not_before(store: AnyStore) {
    let app = app(store).await;
    let tokens = app.register("alice").await.unwrap();
    app.logout(&tokens.access_token, false).await.unwrap();
    let life = app.sso.policy.revocation_life(Duration::ZERO);
    // As long as the token passes by its time it is the entry that stops it.
    let token_passes = app.sso.policy.access_ttl + Duration::from_secs(10) - TICK;
    app.advance(token_passes).await.unwrap();
    assert_eq!(
        app.validate(&tokens.access_token).await,
        Err(TokenRefused::Revoked)
    );
    app.advance(life - token_passes).await.unwrap();
    assert_eq!(app.sso.revocations.entries(), 1);
    app.advance(TICK).await.unwrap();
    assert_eq!(app.sso.revocations.entries(), 0);
    assert_eq!(
        app.validate(&tokens.access_token).await,
        Err(TokenRefused::Expired)
    );
}

async fn a_confirmation_that_failed_is_sent_again(store: AnyStore) {
    let spy = SpyStore::before(store);
    let app = app(spy.clone()).await;
    let tokens = app.register("alice").await.unwrap();
    let until = app.sso.clock.now() + app.sso.policy.revocation_life(Duration::ZERO);
    revoke_elsewhere(&app, Revoked::Session(access(&app, &tokens).session), until).await;
    spy.fail_confirm.store(true, Ordering::Relaxed);
    app.sso.revocations.beat().await.unwrap_err();
    // What came with the beat counts all the same.
    assert_eq!(
        app.validate(&tokens.access_token).await,
        Err(TokenRefused::Revoked)
    );
    assert_eq!(spy.confirmations(), 0);
    for _ in 0..3 {
        app.sso.revocations.beat().await.unwrap();
        assert_eq!(spy.confirmations(), 1);
    }
}

async fn a_token_below_the_version_that_ended_it_is_over_and_none_above(store: AnyStore) {
    let app = app(store).await;
    let old = app.register("alice").await.unwrap();
    let user = app.change(old.user, Change::GrantAdmin).await.unwrap().user;
    let new = app.refresh(&old.refresh_token).await.unwrap();
    assert_eq!(
        app.validate(&old.access_token).await,
        Err(TokenRefused::Revoked)
    );
    assert_eq!(
        app.validate(&new.access_token).await.unwrap().version,
        user.version
    );
    assert!(user.version > Version::ZERO);
}
