//! The key ring.

use std::sync::Arc;

use sso_core::ports::{
    Store,
    store::{KeyUse, RETIRED_KEYS_KEPT, RetiredKey, Retirement, SealedKey},
};
use time::OffsetDateTime;

use super::given::{NOW, TICK};

/// Two keys, named after who made them.
pub(super) fn ring(of: &str) -> Vec<SealedKey> {
    let key = |usage: KeyUse, created_at| SealedKey {
        id: format!("{of}-{}", usage.as_str()),
        usage,
        algorithm: "EdDSA".to_owned(),
        sealed: vec![0, 1, 255],
        created_at,
        signs_from: NOW + TICK,
    };
    vec![key(KeyUse::Refresh, NOW), key(KeyUse::Access, NOW + TICK)]
}

/// Who comes second gets what is there, oldest first.
pub async fn the_first_keys_are_stored_once(store: Arc<dyn Store>) {
    assert_eq!(store.keys().await.unwrap(), []);
    let first = ring("first");
    let given: Vec<_> = first.iter().rev().cloned().collect();
    assert_eq!(store.insert_first_keys(&given).await.unwrap(), first);
    assert_eq!(
        store.insert_first_keys(&ring("second")).await.unwrap(),
        first
    );
    assert_eq!(store.keys().await.unwrap(), first);
}

/// A key for access tokens.
pub(super) fn key(id: &str, signs_from: OffsetDateTime) -> SealedKey {
    SealedKey {
        id: id.to_owned(),
        usage: KeyUse::Access,
        algorithm: "ES256".to_owned(),
        sealed: id.as_bytes().to_vec(),
        created_at: NOW + TICK * 2,
        signs_from,
    }
}

fn retired(key: &SealedKey, retired_at: OffsetDateTime) -> RetiredKey {
    RetiredKey {
        id: key.id.clone(),
        usage: key.usage,
        algorithm: key.algorithm.clone(),
        created_at: key.created_at,
        signs_from: key.signs_from,
        retired_at,
    }
}

/// Several at once; oldest first.
pub async fn keys_are_added_to_the_ring_that_was_seen(store: Arc<dyn Store>) {
    let seen = store.insert_first_keys(&ring("first")).await.unwrap();
    let new = [key("b", NOW), key("a", NOW)];
    assert!(commit!(store, tx => tx.insert_keys(&new, &seen)));
    let stored = store.keys().await.unwrap();
    let expected: Vec<_> = seen.iter().chain([&new[1], &new[0]]).cloned().collect();
    assert_eq!(stored, expected);

    let more = [key("c", NOW)];
    assert!(!commit!(store, tx => tx.insert_keys(&more, &seen)));
    let mut resealed = stored.clone();
    resealed[0].sealed.push(1);
    assert!(!commit!(store, tx => tx.insert_keys(&more, &resealed)));
    assert_eq!(store.keys().await.unwrap(), stored);
    assert!(commit!(store, tx => tx.insert_keys(&more, &stored)));
}

/// Its private part is gone, and its id never comes back, not even beside another.
pub async fn a_retired_key_leaves_the_ring_for_good(store: Arc<dyn Store>) {
    let first = store.insert_first_keys(&ring("first")).await.unwrap();
    let (old, new) = (key("old", NOW), key("new", NOW));
    let both = [new.clone(), old.clone()];
    assert!(commit!(store, tx => tx.insert_keys(&both, &first)));
    assert_eq!(store.retired_keys(10).await.unwrap(), []);

    let gone = retired(&old, NOW + TICK);
    let done = commit!(store, tx => tx.retire_key("old", NOW + TICK));
    assert_eq!(done, Retirement::Retired(gone.clone()));
    let again = commit!(store, tx => tx.retire_key("old", NOW + TICK));
    assert_eq!(again, Retirement::Unknown);
    let never = commit!(store, tx => tx.retire_key("never", NOW));
    assert_eq!(never, Retirement::Unknown);
    let left = store.keys().await.unwrap();
    assert!(left.contains(&new) && !left.contains(&old));
    let remembered = store.retired_keys(10).await.unwrap();
    assert_eq!(remembered, std::slice::from_ref(&gone));

    let back = [key("other", NOW), old];
    assert!(!commit!(store, tx => tx.insert_keys(&back, &left)));
    assert_eq!(store.keys().await.unwrap(), left);

    let next = commit!(store, tx => tx.retire_key("new", NOW + TICK * 2));
    assert_eq!(next, Retirement::Retired(retired(&new, NOW + TICK * 2)));
    let listed = store.retired_keys(10).await.unwrap();
    assert_eq!(listed, [retired(&new, NOW + TICK * 2), gone]);
    assert_eq!(store.retired_keys(1).await.unwrap(), listed[..1]);
}

/// Of its own use, and not one that will sign later.
pub async fn the_last_key_that_signs_is_never_retired(store: Arc<dyn Store>) {
    // Both sign from NOW + TICK on.
    let first = store.insert_first_keys(&ring("first")).await.unwrap();
    let later = NOW + TICK * 100;
    for key in &first {
        let done = commit!(store, tx => tx.retire_key(&key.id, later));
        assert_eq!(done, Retirement::Last);
    }
    assert!(commit!(store, tx => tx.insert_keys(&[key("next", later)], &first)));
    let too_early = commit!(store, tx => tx.retire_key("first-access", later - TICK));
    assert_eq!(too_early, Retirement::Last);
    // The one that does not sign yet can go: the other does.
    let mut tx = store.begin().await.unwrap();
    let next = tx.retire_key("next", later - TICK).await.unwrap();
    assert!(matches!(next, Retirement::Retired(_)));
    drop(tx);
    let done = commit!(store, tx => tx.retire_key("first-access", later));
    assert!(matches!(done, Retirement::Retired(_)));
    let last = commit!(store, tx => tx.retire_key("next", later));
    assert_eq!(last, Retirement::Last);
    let refresh = commit!(store, tx => tx.retire_key("first-refresh", later));
    assert_eq!(refresh, Retirement::Last);
}

/// All of them, if the ring is the one that was seen; nothing but the sealed part.
pub async fn keys_are_resealed_all_or_none(store: Arc<dyn Store>) {
    let seen = store.insert_first_keys(&ring("first")).await.unwrap();
    let resealed: Vec<_> = seen
        .iter()
        .map(|key| SealedKey {
            sealed: vec![9, 9],
            ..key.clone()
        })
        .collect();
    assert!(!commit!(store, tx => tx.reseal_keys(&resealed, &seen[..1])));
    assert!(!commit!(store, tx => tx.reseal_keys(&resealed, &resealed)));
    assert_eq!(store.keys().await.unwrap(), seen);
    let mut tx = store.begin().await.unwrap();
    assert!(tx.reseal_keys(&resealed, &seen).await.unwrap());
    drop(tx);
    assert_eq!(store.keys().await.unwrap(), seen);
    assert!(commit!(store, tx => tx.reseal_keys(&resealed, &seen)));
    assert_eq!(store.keys().await.unwrap(), resealed);
    assert!(!commit!(store, tx => tx.reseal_keys(&seen, &seen)));
}

/// The oldest are forgotten beyond the bound.
pub async fn only_the_last_retired_keys_are_remembered(store: Arc<dyn Store>) {
    let first = store.insert_first_keys(&ring("first")).await.unwrap();
    let count = RETIRED_KEYS_KEPT + 2;
    let new: Vec<_> = (0..count)
        .map(|at| key(&format!("key{at:05}"), NOW + TICK * 10))
        .collect();
    assert!(commit!(store, tx => tx.insert_keys(&new, &first)));
    let mut tx = store.begin().await.unwrap();
    for (at, key) in (0..).zip(&new) {
        let done = tx.retire_key(&key.id, NOW + TICK * (100 + at)).await;
        assert!(matches!(done, Ok(Retirement::Retired(_))));
    }
    tx.commit().await.unwrap();
    let kept = store.retired_keys(count).await.unwrap();
    let ids: Vec<_> = kept.iter().rev().map(|key| key.id.as_str()).collect();
    let newest: Vec<_> = new[2..].iter().map(|key| key.id.as_str()).collect();
    assert_eq!(ids, newest);
}
