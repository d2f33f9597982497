//! The key ring.

use std::sync::Arc;

use sso_core::ports::{
    Store,
    store::{KeyUse, SealedKey},
};

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
