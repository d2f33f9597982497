//! Validation: no store, and no answer without a lease.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use sso_core::{
    ports::{
        TokenRefused,
        store::{NewRevocation, Revocation, Revoked, Stamp},
    },
    revocation::{LeaseTerms, Revocations, bound},
    usecases::{SignedIn, administer::Change},
    values::Version,
};
use sso_testkit::{app::App, clock::ManualClock, memory::MemoryStore};
use time::OffsetDateTime;

use crate::support::{AnyStore, SECOND, TICK, access, app, on_every_store, spy::SpyStore};

on_every_store! {
    validating_asks_no_store
    without_a_lease_nothing_is_validated_until_a_beat_restores_it
    a_lease_runs_from_the_moment_its_beat_was_sent
    a_beat_without_an_answer_gives_no_lease_and_takes_none
    what_another_process_revokes_is_obeyed_after_a_beat
    an_entry_is_forgotten_when_it_can_concern_no_token_and_not_before
    what_a_beat_told_asks_for_the_next_so_that_others_hear_that_it_is_obeyed
    a_hint_is_obeyed_at_once_and_confirmed_by_a_beat
    a_hint_that_is_none_is_dropped_by_the_next_beat
    who_has_left_trusts_nothing_any_more
    the_state_says_whether_tokens_are_validated_and_why_not
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

#[test]
fn beats_are_due_at_the_same_moments_for_everybody() {
    const EVERY: Duration = Duration::from_millis(200);
    let clock = Arc::new(ManualClock::new());
    let revocations = Revocations::new(
        Arc::new(MemoryStore::new()),
        Arc::<ManualClock>::clone(&clock),
        LeaseTerms::default(),
    );
    for (gone, left) in [(0, 200), (1, 199), (130, 69), (19, 50)] {
        clock.advance(Duration::from_millis(gone));
        assert_eq!(revocations.until_beat(EVERY), Duration::from_millis(left));
    }
    // Another one's clock says that the moment of this beat is still to come.
    clock.advance(Duration::from_millis(49));
    assert_eq!(
        revocations.until_beat(EVERY),
        EVERY + Duration::from_millis(1)
    );
}

/// A daemon that slews an instance's clock by 8.3 % makes its leases 9 % longer; drift of 5 % on both
/// sides, 10.5 %.
#[test]
fn the_bound_covers_clocks_that_do_not_run_alike() {
    assert_eq!(bound(LEASE), 12 * SECOND);
    assert_eq!(LeaseTerms::default().bound(), 12 * SECOND);
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

async fn what_a_beat_told_asks_for_the_next_so_that_others_hear_that_it_is_obeyed(store: AnyStore) {
    let app = app(store).await;
    let (asked, hasten) = counted();
    let revocations = Revocations::new(
        app.sso.store.clone(),
        app.sso.clock.clone(),
        LeaseTerms::default(),
    )
    .hastening(hasten);
    let tokens = app.register("alice").await.unwrap();
    let until = app.sso.clock.now() + app.sso.policy.revocation_life(Duration::ZERO);
    // Another beat of the same process told what was there before.
    revocations.beat().await.unwrap();
    let before = asked.load(Ordering::Relaxed);
    revoke_elsewhere(&app, Revoked::Session(access(&app, &tokens).session), until).await;
    revocations.beat().await.unwrap();
    assert_eq!(asked.load(Ordering::Relaxed), before + 1);
    assert!(revocations.owes_beat());
    revocations.beat().await.unwrap();
    assert_eq!(asked.load(Ordering::Relaxed), before + 1);
    assert!(!revocations.owes_beat());
}

/// As the stream brings one.
fn hint_of(app: &App, tokens: &SignedIn, stamp: Stamp) -> Revocation {
    Revocation {
        id: 1 << 41,
        revoked: Revoked::Session(access(app, tokens).session),
        effect: None,
        until: app.sso.clock.now() + app.sso.policy.revocation_life(Duration::ZERO),
        stamp,
    }
}

async fn a_hint_is_obeyed_at_once_and_confirmed_by_a_beat(store: AnyStore) {
    let app = app(store).await;
    let tokens = app.register("alice").await.unwrap();
    let revoked = Revoked::Session(access(&app, &tokens).session);
    let until = app.sso.clock.now() + app.sso.policy.revocation_life(Duration::ZERO);
    let mut tx = app.sso.store.begin().await.unwrap();
    let entry = tx.revoke(&NewRevocation { revoked, until }).await.unwrap();
    tx.commit().await.unwrap();
    for _ in 0..2 {
        app.sso.revocations.hint(&[entry]);
        assert_eq!(
            app.validate(&tokens.access_token).await,
            Err(TokenRefused::Revoked)
        );
        app.sso.revocations.beat().await.unwrap();
        assert_eq!(app.sso.revocations.entries(), 1);
    }
    assert_eq!(
        app.validate(&tokens.access_token).await,
        Err(TokenRefused::Revoked)
    );
}

async fn a_hint_that_is_none_is_dropped_by_the_next_beat(store: AnyStore) {
    let app = app(store).await;
    let tokens = app.register("alice").await.unwrap();
    // Of a transaction that brought no row; of one that is not visible although it is said to be
    // committed; of a timeline that nobody has met.
    let (seen, unseen, strange) = (
        Stamp::default(),
        Stamp {
            timeline: 0,
            xid: u64::MAX - 1,
        },
        Stamp {
            timeline: 7,
            xid: 0,
        },
    );
    for (stamp, patience) in [
        (seen, Duration::ZERO),
        (unseen, TICK),
        (strange, LEASE * 13 / 10),
    ] {
        app.sso.revocations.hint(&[hint_of(&app, &tokens, stamp)]);
        assert_eq!(
            app.validate(&tokens.access_token).await,
            Err(TokenRefused::Revoked)
        );
        app.clock.advance(patience);
        app.sso.revocations.beat().await.unwrap();
        app.validate(&tokens.access_token).await.unwrap();
    }
}

async fn who_has_left_trusts_nothing_any_more(store: AnyStore) {
    let app = app(store).await;
    let tokens = app.register("alice").await.unwrap();
    app.sso.revocations.leave().await.unwrap();
    for _ in 0..2 {
        assert_eq!(
            app.validate(&tokens.access_token).await,
            Err(TokenRefused::Unknowable)
        );
        app.sso.revocations.beat().await.unwrap();
    }
    assert!(!app.sso.revocations.status().trusted);
}

async fn the_state_says_whether_tokens_are_validated_and_why_not(store: AnyStore) {
    let (spy, clock) = (SpyStore::before(store), Arc::default());
    let revocations = revocations(spy.clone(), &clock);
    let status = revocations.status();
    assert!(!status.trusted && status.beat_age.is_none());
    assert!(status.problem.unwrap().contains("no beat was answered yet"));

    clock.advance(SECOND);
    revocations.beat().await.unwrap();
    clock.advance(SECOND);
    let status = revocations.status();
    assert!(status.trusted && status.problem.is_none());
    assert_eq!(
        (status.lease_left, status.beat_age),
        (LEASE - SECOND, Some(SECOND))
    );

    clock.advance(LEASE);
    spy.fail_beat.store(true, Ordering::Relaxed);
    revocations.beat().await.unwrap_err();
    let status = revocations.status();
    assert!(!status.trusted);
    assert!(status.to_string().contains("as the test wants"), "{status}");
}

/// Counts how often a beat was asked for.
fn counted() -> (Arc<AtomicUsize>, Arc<dyn Fn() + Send + Sync>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let counts = Arc::clone(&asked);
    let hasten = move || {
        counts.fetch_add(1, Ordering::Relaxed);
    };
    (asked, Arc::new(hasten))
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
