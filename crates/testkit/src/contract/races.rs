//! What may happen once, done by fifty at once.

use std::{future::Future, sync::Arc};

use sso_core::{
    ports::{
        Store, StoreError,
        store::{
            Constraint, Ended, Freshness, Liveness, NewSession, Retirement, Rotation, Session, User,
        },
    },
    values::Version,
};

use super::{
    given::{CROWD, Given, NOW, crowd, hash, password, token},
    keys::{self, ring},
};

/// How often a race between two kinds of things is run: who comes first differs.
const ROUNDS: usize = 8;

async fn read(store: &Arc<dyn Store>, user: &User) -> User {
    store
        .user(user.id, Freshness::Primary)
        .await
        .unwrap()
        .unwrap()
}

async fn open(store: &Arc<dyn Store>, new: &NewSession, seen: Version) -> Option<(User, Session)> {
    commit!(store, tx => tx.open_session(new, seen))
}

/// A crowd in which all but one do `many`, and one in the middle does `once`.
async fn against<T, F, O>(many: impl Fn() -> F, once: impl Fn() -> O) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
    O: Future<Output = ()> + Send + 'static,
{
    let results = crowd(|at| {
        let (crowded, single) = (many(), once());
        async move {
            if at == CROWD / 2 {
                single.await;
                None
            } else {
                Some(crowded.await)
            }
        }
    })
    .await;
    results.into_iter().flatten().collect()
}

/// One token, one rotation.
pub async fn of_fifty_uses_of_one_token_one_rotates_and_the_others_get_the_same(
    store: Arc<dyn Store>,
) {
    let given = Given::new();
    let alice = given.user(&store, "alice@example.com").await;
    let session = given.session(&store, &alice).await;
    for generation in 0..ROUNDS as u64 {
        let results = crowd(|_| {
            let (store, rotate) = (Arc::clone(&store), token(&session, generation, NOW));
            async move { store.rotate(rotate).await.unwrap() }
        })
        .await;
        let mut moved = 0;
        for result in results {
            let rows = match result {
                Rotation::Rotated(rows) => {
                    moved += 1;
                    rows
                }
                Rotation::Replayed(rows) => rows,
                other => panic!("{other:?}"),
            };
            assert_eq!(rows.session.generation, generation + 1);
        }
        assert_eq!(moved, 1);
    }
}

/// One writes the revocation.
pub async fn of_fifty_ends_of_one_session_one_ends_it(store: Arc<dyn Store>) {
    let given = Given::new();
    let alice = given.user(&store, "alice@example.com").await;
    let session = given.session(&store, &alice).await;
    let results = crowd(|_| {
        let (store, id) = (Arc::clone(&store), session.id);
        async move { commit!(store, tx => tx.end_session(id, None, NOW)) }
    })
    .await;
    let now = results
        .iter()
        .filter(|ended| matches!(ended, Ended::Now(_)));
    assert_eq!(now.count(), 1);
    let before = results.iter().filter(|ended| **ended == Ended::Before);
    assert_eq!(before.count(), CROWD - 1);
}

/// One account for one address.
pub async fn of_fifty_registrations_of_one_address_one_is_stored(store: Arc<dyn Store>) {
    let given = Given::new();
    let results = crowd(|_| {
        let (store, new) = (Arc::clone(&store), given.new_user("alice@example.com"));
        async move {
            let mut tx = store.begin().await.unwrap();
            let inserted = tx.insert_user(&new).await;
            if inserted.is_ok() {
                tx.commit().await.unwrap();
            }
            inserted
        }
    })
    .await;
    let (stored, refused): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    assert_eq!(stored.len(), 1);
    for result in refused {
        let error = result.unwrap_err();
        assert!(
            matches!(error, StoreError::Conflict(Constraint::Email)),
            "{error}"
        );
    }
}

/// One password was verified; it is replaced once.
pub async fn of_fifty_password_changes_at_one_version_one_is_made(store: Arc<dyn Store>) {
    let seen = Given::new().user(&store, "alice@example.com").await;
    let results = crowd(|at| {
        let change = password(seen.id, Some(seen.version), &format!("number{at}"));
        let store = Arc::clone(&store);
        async move { commit!(store, tx => tx.set_password(&change)) }
    })
    .await;
    let made: Vec<_> = results.into_iter().flatten().collect();
    assert_eq!(made, [read(&store, &seen).await]);
}

/// All sign with one ring.
pub async fn of_fifty_first_key_rings_one_is_stored(store: Arc<dyn Store>) {
    let results = crowd(|at| {
        let (store, keys) = (Arc::clone(&store), ring(&format!("ring{at}")));
        async move { store.insert_first_keys(&keys).await.unwrap() }
    })
    .await;
    let stored = store.keys().await.unwrap();
    assert_eq!(stored.len(), 2);
    assert!(results.iter().all(|returned| *returned == stored));
}

/// Each was decided on the same ring.
pub async fn of_fifty_rotations_of_one_ring_one_is_made(store: Arc<dyn Store>) {
    let seen = store.insert_first_keys(&ring("first")).await.unwrap();
    let made = crowd(|at| {
        let (store, seen) = (Arc::clone(&store), seen.clone());
        let new = [keys::key(&format!("key{at}"), NOW)];
        async move { commit!(store, tx => tx.insert_keys(&new, &seen)) }
    })
    .await;
    assert_eq!(made.iter().filter(|made| **made).count(), 1);
    assert_eq!(store.keys().await.unwrap().len(), seen.len() + 1);
}

/// Never all of them.
pub async fn of_fifty_keys_that_are_all_retired_at_once_one_is_left(store: Arc<dyn Store>) {
    let id = |at: usize| format!("key{at}");
    let all: Vec<_> = (0..CROWD).map(|at| keys::key(&id(at), NOW)).collect();
    store.insert_first_keys(&all).await.unwrap();
    let done = crowd(|at| {
        let store = Arc::clone(&store);
        async move { commit!(store, tx => tx.retire_key(&id(at), NOW)) }
    })
    .await;
    let last: Vec<_> = done
        .iter()
        .filter(|done| **done == Retirement::Last)
        .collect();
    assert_eq!(last.len(), 1);
    assert_eq!(store.keys().await.unwrap().len(), 1);
}

/// Refresh against logout.
pub async fn no_refresh_survives_a_logout(store: Arc<dyn Store>) {
    let given = Given::new();
    let alice = given.user(&store, "alice@example.com").await;
    for _ in 0..ROUNDS {
        let session = given.session(&store, &alice).await;
        let id = session.id;
        against(
            || {
                let (store, rotate) = (Arc::clone(&store), token(&session, 0, NOW));
                async move { store.rotate(rotate).await.unwrap() }
            },
            || {
                let store = Arc::clone(&store);
                async move {
                    commit!(store, tx => tx.end_session(id, None, NOW));
                }
            },
        )
        .await;
        let stored = store.session(id).await.unwrap().unwrap();
        assert!(stored.revoked_at.is_some());
        for generation in 0..3 {
            let after = store.rotate(token(&session, generation, NOW)).await;
            assert_eq!(after.unwrap(), Rotation::Over);
        }
    }
}

/// Logins that verified the old password, against `change`: returns what they opened.
async fn logins_against<O>(
    store: &Arc<dyn Store>,
    given: &Given,
    seen: &User,
    change: impl Fn() -> O,
) -> Vec<(User, Session)>
where
    O: Future<Output = ()> + Send + 'static,
{
    let results = against(
        || {
            let new = given.new_session(seen.id, NOW);
            let (store, version) = (Arc::clone(store), seen.version);
            async move { open(&store, &new, version).await }
        },
        change,
    )
    .await;
    let late = given.new_session(seen.id, NOW);
    assert_eq!(open(store, &late, seen.version).await, None);
    let opened: Vec<_> = results.into_iter().flatten().collect();
    for (user, session) in &opened {
        assert_eq!((user, session.version), (seen, seen.version));
    }
    opened
}

async fn assert_over(store: &Arc<dyn Store>, user: &User, opened: &[(User, Session)]) {
    assert_eq!(
        store
            .live_sessions(user.id, Liveness::at(NOW))
            .await
            .unwrap(),
        []
    );
    for (_, session) in opened {
        let rotation = store.rotate(token(session, 0, NOW)).await.unwrap();
        assert_eq!(rotation, Rotation::Over);
    }
}

/// Login against password change.
pub async fn no_session_of_a_login_survives_a_password_change(store: Arc<dyn Store>) {
    let given = Given::new();
    let mut alice = given.user(&store, "alice@example.com").await;
    for _ in 0..ROUNDS {
        let change = password(alice.id, Some(alice.version), "second");
        let opened = logins_against(&store, &given, &alice, || {
            let (store, change) = (Arc::clone(&store), change.clone());
            async move {
                assert!(commit!(store, tx => tx.set_password(&change)).is_some());
            }
        })
        .await;
        assert_over(&store, &alice, &opened).await;
        alice = read(&store, &alice).await;
    }
}

/// Login against disable.
pub async fn no_session_of_a_login_survives_a_disabling(store: Arc<dyn Store>) {
    let given = Given::new();
    let mut alice = given.user(&store, "alice@example.com").await;
    for _ in 0..ROUNDS {
        let id = alice.id;
        let opened = logins_against(&store, &given, &alice, || {
            let store = Arc::clone(&store);
            async move {
                commit!(store, tx => tx.set_disabled(id, true));
            }
        })
        .await;
        assert_over(&store, &alice, &opened).await;
        alice = commit!(store, tx => tx.set_disabled(id, false)).unwrap();
        assert_over(&store, &alice, &opened).await;
    }
}

/// Login against a role change: what is returned with the session is what is stored then.
pub async fn no_login_returns_a_right_that_was_taken(store: Arc<dyn Store>) {
    let given = Given::new();
    let mut alice = given.user(&store, "alice@example.com").await;
    let id = alice.id;
    for _ in 0..ROUNDS {
        alice = commit!(store, tx => tx.set_admin(id, true)).unwrap();
        logins_against(&store, &given, &alice, || {
            let store = Arc::clone(&store);
            async move {
                commit!(store, tx => tx.set_admin(id, false));
            }
        })
        .await;
        let (user, _) = open(
            &store,
            &given.new_session(id, NOW),
            read(&store, &alice).await.version,
        )
        .await
        .unwrap();
        assert!(!user.is_admin);
    }
}

/// Re-hash against password change.
pub async fn no_rehash_undoes_a_password_change(store: Arc<dyn Store>) {
    let given = Given::new();
    for round in 0..ROUNDS {
        let alice = given
            .user(&store, &format!("alice{round}@example.com"))
            .await;
        let change = password(alice.id, Some(alice.version), "second");
        against(
            || {
                let (store, id) = (Arc::clone(&store), alice.id);
                async move {
                    store
                        .rehash(id, &hash("first"), &hash("rehashed"))
                        .await
                        .unwrap()
                }
            },
            || {
                let (store, change) = (Arc::clone(&store), change.clone());
                async move {
                    assert!(commit!(store, tx => tx.set_password(&change)).is_some());
                }
            },
        )
        .await;
        assert_eq!(read(&store, &alice).await.password_hash, hash("second"));
    }
}
