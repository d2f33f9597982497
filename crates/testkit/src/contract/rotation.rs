//! The use of refresh tokens.

use std::{sync::Arc, time::Duration};

use sso_core::ports::{
    Store,
    store::{Liveness, Rotate, Rotated, Rotation, Session, User},
};

use super::given::{GRACE, Given, LIFE, NOW, TICK, password, rotated, token};

const LATER: time::OffsetDateTime = NOW.saturating_add(time::Duration::hours(1));

async fn given(store: &Arc<dyn Store>) -> (Given, User, Session) {
    let given = Given::new();
    let alice = given.user(store, "alice@example.com").await;
    let session = given.session(store, &alice).await;
    (given, alice, session)
}

/// A session at generation 2, reached at `LATER`.
async fn given_used(store: &Arc<dyn Store>) -> (User, Session) {
    let (_, alice, session) = given(store).await;
    rotated(store.rotate(token(&session, 0, NOW)).await.unwrap());
    let rows = rotated(store.rotate(token(&session, 1, LATER)).await.unwrap());
    (alice, rows.session)
}

/// And both rows come back.
pub async fn the_current_generation_moves_on_and_the_end_stays(store: Arc<dyn Store>) {
    let (_, alice, session) = given(&store).await;
    let rows = rotated(store.rotate(token(&session, 0, LATER)).await.unwrap());
    let moved = Session {
        generation: 1,
        rotated_at: LATER,
        ..session.clone()
    };
    assert_eq!(
        rows,
        Rotated {
            session: moved.clone(),
            user: alice
        }
    );
    assert_eq!(store.session(session.id).await.unwrap(), Some(moved));
    let rows = rotated(store.rotate(token(&session, 1, LATER)).await.unwrap());
    assert_eq!(rows.session.generation, 2);
    assert_eq!(rows.session.expires_at, session.expires_at);
}

/// The loser of a race, and who never saw the answer, get the same rows; nothing moves.
pub async fn the_generation_before_is_replayed_to_the_last_moment_of_the_grace(
    store: Arc<dyn Store>,
) {
    let (alice, session) = given_used(&store).await;
    let rows = Rotated {
        session: session.clone(),
        user: alice,
    };
    for now in [LATER - GRACE, LATER, LATER + GRACE] {
        let replayed = store.rotate(token(&session, 1, now)).await.unwrap();
        assert_eq!(replayed, Rotation::Replayed(Box::new(rows.clone())));
    }
    assert_eq!(store.session(session.id).await.unwrap(), Some(session));
}

/// Somebody else has used it. The store ends nothing by itself.
pub async fn the_generation_before_is_reused_after_the_grace(store: Arc<dyn Store>) {
    let (_, session) = given_used(&store).await;
    let reused = store.rotate(token(&session, 1, LATER + GRACE + TICK)).await;
    assert_eq!(reused.unwrap(), Rotation::Reused(Box::new(session.clone())));
    assert_eq!(store.session(session.id).await.unwrap(), Some(session));
}

/// Refused without harm within the grace.
pub async fn an_older_generation_is_late_within_the_grace_and_reused_after_it(
    store: Arc<dyn Store>,
) {
    let (_, session) = given_used(&store).await;
    let late = store.rotate(token(&session, 0, LATER + GRACE)).await;
    assert_eq!(late.unwrap(), Rotation::Late);
    let reused = store.rotate(token(&session, 0, LATER + GRACE + TICK)).await;
    assert_eq!(reused.unwrap(), Rotation::Reused(Box::new(session.clone())));
    assert_eq!(store.session(session.id).await.unwrap(), Some(session));
}

/// It can only be ours, from a rotation that was lost.
pub async fn a_generation_ahead_moves_the_row_up_to_it(store: Arc<dyn Store>) {
    let (_, session) = given_used(&store).await;
    let rows = rotated(store.rotate(token(&session, 7, LATER)).await.unwrap());
    assert_eq!(rows.session.generation, 8);
    let before = store.rotate(token(&session, 2, LATER)).await.unwrap();
    assert_eq!(before, Rotation::Late);
    let replayed = store.rotate(token(&session, 7, LATER)).await.unwrap();
    assert_eq!(replayed, Rotation::Replayed(Box::new(rows)));
}

/// Whatever generation the token is of: replay and reuse are of sessions that live.
pub async fn an_ended_or_expired_session_is_over(store: Arc<dyn Store>) {
    let (_, session) = given_used(&store).await;
    let end = session.expires_at;
    for generation in 0..4 {
        let expired = store.rotate(token(&session, generation, end)).await;
        assert_eq!(expired.unwrap(), Rotation::Over);
    }
    let last_moment = store.rotate(token(&session, 2, end - TICK)).await.unwrap();
    assert!(matches!(last_moment, Rotation::Rotated(_)));

    commit!(store, tx => tx.end_session(session.id, None, LATER));
    for generation in 0..5 {
        let ended = store.rotate(token(&session, generation, LATER)).await;
        assert_eq!(ended.unwrap(), Rotation::Over);
    }
}

/// The limit is on its last use. Nothing is remembered of it: without a limit it goes on.
pub async fn an_idle_session_is_over_and_lives_again_with_no_limit(store: Arc<dyn Store>) {
    let (alice, session) = given_used(&store).await;
    let idle = |used_after, generation| Rotate {
        used_after: Some(used_after),
        ..token(&session, generation, LATER + GRACE + TICK)
    };
    let with_limit = |used_after| Liveness {
        now: LATER,
        used_after: Some(used_after),
    };
    for generation in 0..4 {
        let used = store.rotate(idle(LATER, generation)).await.unwrap();
        assert_eq!(used, Rotation::Over);
    }
    let live = store
        .live_sessions(alice.id, with_limit(LATER))
        .await
        .unwrap();
    assert_eq!(live, []);
    let live = store
        .live_sessions(alice.id, with_limit(LATER - TICK))
        .await
        .unwrap();
    assert_eq!(live.len(), 1);
    let ended = commit!(store, tx => tx.end_oldest_sessions(alice.id, 0, with_limit(LATER)));
    assert_eq!(ended, []);

    let reused = store.rotate(idle(LATER - TICK, 0)).await.unwrap();
    assert!(matches!(reused, Rotation::Reused(_)));
    rotated(store.rotate(idle(LATER - TICK, 2)).await.unwrap());
}

/// Enabling brings nothing back.
pub async fn what_ends_a_users_sessions_makes_them_over_for_good(store: Arc<dyn Store>) {
    let (given, alice, session) = given(&store).await;
    let use_of = |session: &Session| token(session, 0, NOW);

    let alice = commit!(store, tx => tx.set_disabled(alice.id, true)).unwrap();
    assert_eq!(
        store.rotate(use_of(&session)).await.unwrap(),
        Rotation::Over
    );
    let alice = commit!(store, tx => tx.set_disabled(alice.id, false)).unwrap();
    assert_eq!(
        store.rotate(use_of(&session)).await.unwrap(),
        Rotation::Over
    );

    let session = given.session(&store, &alice).await;
    let change = password(alice.id, Some(alice.version), "second");
    let alice = commit!(store, tx => tx.set_password(&change)).unwrap();
    assert_eq!(
        store.rotate(use_of(&session)).await.unwrap(),
        Rotation::Over
    );

    let session = given.session(&store, &alice).await;
    let alice = commit!(store, tx => tx.end_user_sessions(alice.id)).unwrap();
    assert_eq!(
        store.rotate(use_of(&session)).await.unwrap(),
        Rotation::Over
    );

    let session = given.session(&store, &alice).await;
    rotated(store.rotate(use_of(&session)).await.unwrap());
}

/// Tokens are made anew from the row.
pub async fn a_role_leaves_sessions_alive_and_comes_back_with_the_rotation(store: Arc<dyn Store>) {
    let (_, alice, session) = given(&store).await;
    let admin = commit!(store, tx => tx.set_admin(alice.id, true)).unwrap();
    let rows = rotated(store.rotate(token(&session, 0, NOW)).await.unwrap());
    assert_eq!(rows.user, admin);
    assert_eq!(rows.session.version, alice.version);
}

/// Nothing is made by using it.
pub async fn a_session_that_never_was_is_unknown(store: Arc<dyn Store>) {
    let (given, _, session) = given(&store).await;
    let never = Session {
        id: given.session_id(),
        ..session
    };
    for now in [NOW, NOW + LIFE + Duration::from_secs(1)] {
        let unknown = store.rotate(token(&never, 0, now)).await.unwrap();
        assert_eq!(unknown, Rotation::Unknown);
    }
}
