//! Sessions.

use std::{sync::Arc, time::Duration};

use sso_core::ports::{
    Store,
    store::{Ended, Liveness, Session},
};

use super::given::{Given, LIFE, NOW, TICK};

fn ids(sessions: &[Session]) -> Vec<sso_core::values::SessionId> {
    sessions.iter().map(|session| session.id).collect()
}

/// At generation 0, under the user's version.
pub async fn a_session_opens_with_the_rows_that_tokens_are_made_from(store: Arc<dyn Store>) {
    let given = Given::new();
    let alice = given.user(&store, "alice@example.com").await;
    let new = given.new_session(alice.id, NOW);
    let (user, session) = commit!(store, tx => tx.open_session(&new, alice.version)).unwrap();
    assert_eq!(user, alice);
    assert_eq!(
        session,
        Session {
            id: new.id,
            user: alice.id,
            version: alice.version,
            generation: 0,
            created_at: NOW,
            rotated_at: NOW,
            expires_at: NOW + LIFE,
            revoked_at: None,
            address: new.address,
            agent: new.agent.clone(),
        }
    );
    assert_eq!(store.session(new.id).await.unwrap(), Some(session));
    assert_eq!(store.session(given.session_id()).await.unwrap(), None);
}

/// What was read may be stale.
pub async fn a_session_opens_only_at_the_version_that_was_seen(store: Arc<dyn Store>) {
    let given = Given::new();
    let seen = given.user(&store, "alice@example.com").await;
    let newer = commit!(store, tx => tx.set_admin(seen.id, true)).unwrap();
    let new = given.new_session(seen.id, NOW);
    assert_eq!(
        commit!(store, tx => tx.open_session(&new, seen.version)),
        None
    );
    assert_eq!(store.session(new.id).await.unwrap(), None);
    let (user, session) = commit!(store, tx => tx.open_session(&new, newer.version)).unwrap();
    assert_eq!((&user, session.version), (&newer, newer.version));
}

/// Not even at the right version.
pub async fn no_session_opens_for_a_disabled_or_unknown_user(store: Arc<dyn Store>) {
    let given = Given::new();
    let alice = given.user(&store, "alice@example.com").await;
    let disabled = commit!(store, tx => tx.set_disabled(alice.id, true)).unwrap();
    let new = given.new_session(alice.id, NOW);
    assert_eq!(
        commit!(store, tx => tx.open_session(&new, disabled.version)),
        None
    );
    let nobodys = given.new_session(given.user_id(), NOW);
    assert_eq!(
        commit!(store, tx => tx.open_session(&nobodys, alice.version)),
        None
    );
}

/// The caller who ended it is told so, once.
pub async fn a_session_ends_once_and_only_for_its_user(store: Arc<dyn Store>) {
    let given = Given::new();
    let alice = given.user(&store, "alice@example.com").await;
    let bob = given.user(&store, "bob@example.com").await;
    let session = given.session(&store, &alice).await;
    let id = session.id;

    let foreign = commit!(store, tx => tx.end_session(id, Some(bob.id), NOW));
    assert_eq!(foreign, Ended::Unknown);
    let unknown = given.session_id();
    assert_eq!(
        commit!(store, tx => tx.end_session(unknown, None, NOW)),
        Ended::Unknown
    );
    assert_eq!(store.session(id).await.unwrap().as_ref(), Some(&session));

    let ended = Session {
        revoked_at: Some(NOW + TICK),
        ..session
    };
    let now = commit!(store, tx => tx.end_session(id, Some(alice.id), NOW + TICK));
    assert_eq!(now, Ended::Now(Box::new(ended.clone())));
    for owner in [Some(alice.id), None] {
        let again = commit!(store, tx => tx.end_session(id, owner, NOW + LIFE));
        assert_eq!(again, Ended::Before);
    }
    let foreign = commit!(store, tx => tx.end_session(id, Some(bob.id), NOW));
    assert_eq!(foreign, Ended::Unknown);
    assert_eq!(store.session(id).await.unwrap(), Some(ended));
}

/// An access token may outlive its session, and a logout must reach it.
pub async fn an_expired_session_can_still_be_ended(store: Arc<dyn Store>) {
    let given = Given::new();
    let alice = given.user(&store, "alice@example.com").await;
    let session = given.session(&store, &alice).await;
    commit!(store, tx => tx.end_user_sessions(alice.id));
    let ended = commit!(store, tx => tx.end_session(session.id, None, NOW + LIFE));
    assert!(matches!(ended, Ended::Now(_)));
}

/// Revoked, expired and under an older version than what ended the user's sessions are not listed.
pub async fn live_sessions_are_newest_first_without_what_is_over(store: Arc<dyn Store>) {
    let given = Given::new();
    let alice = given.user(&store, "alice@example.com").await;
    let bob = given.user(&store, "bob@example.com").await;
    let second = Duration::from_secs(1);
    let newer = given.session_from(&store, &alice, NOW + second).await;
    let older = given.session_from(&store, &alice, NOW).await;
    let ended = given.session_from(&store, &alice, NOW).await;
    given.session(&store, &bob).await;
    commit!(store, tx => tx.end_session(ended.id, None, NOW));

    let live = store
        .live_sessions(alice.id, Liveness::at(NOW))
        .await
        .unwrap();
    assert_eq!(live, [newer.clone(), older.clone()]);
    let live = store
        .live_sessions(alice.id, Liveness::at(NOW + LIFE - TICK))
        .await
        .unwrap();
    assert_eq!(live, [newer.clone(), older]);
    let live = store
        .live_sessions(alice.id, Liveness::at(NOW + LIFE))
        .await
        .unwrap();
    assert_eq!(live, [newer]);

    let alice = commit!(store, tx => tx.end_user_sessions(alice.id)).unwrap();
    assert_eq!(
        store
            .live_sessions(alice.id, Liveness::at(NOW))
            .await
            .unwrap(),
        []
    );
    let fresh = given.session(&store, &alice).await;
    assert_eq!(
        store
            .live_sessions(alice.id, Liveness::at(NOW))
            .await
            .unwrap(),
        [fresh]
    );
    commit!(store, tx => tx.set_disabled(alice.id, true));
    assert_eq!(
        store
            .live_sessions(alice.id, Liveness::at(NOW))
            .await
            .unwrap(),
        []
    );
    assert_eq!(
        store
            .live_sessions(bob.id, Liveness::at(NOW))
            .await
            .unwrap()
            .len(),
        1
    );
}

/// Those that are over do not count, and nobody else's end.
pub async fn the_oldest_live_sessions_end_but_those_kept(store: Arc<dyn Store>) {
    let given = Given::new();
    let alice = given.user(&store, "alice@example.com").await;
    let bob = given.user(&store, "bob@example.com").await;
    given.session(&store, &bob).await;
    let mut sessions = Vec::new();
    for at in [3, 1, 2, 0, 4] {
        let start = NOW + Duration::from_secs(at);
        sessions.push(given.session_from(&store, &alice, start).await);
    }
    sessions.sort_by_key(|session| session.created_at);
    commit!(store, tx => tx.end_session(sessions[3].id, None, NOW));

    let now = NOW + Duration::from_secs(9);
    let none = commit!(store, tx => tx.end_oldest_sessions(alice.id, 4, Liveness::at(now)));
    assert_eq!(none, []);
    let ended = commit!(store, tx => tx.end_oldest_sessions(alice.id, 2, Liveness::at(now)));
    assert_eq!(ids(&ended), ids(&sessions[..2]));
    assert!(ended.iter().all(|session| session.revoked_at == Some(now)));
    let live = store
        .live_sessions(alice.id, Liveness::at(now))
        .await
        .unwrap();
    assert_eq!(ids(&live), [sessions[4].id, sessions[2].id]);
    assert_eq!(
        store
            .live_sessions(bob.id, Liveness::at(now))
            .await
            .unwrap()
            .len(),
        1
    );
}
