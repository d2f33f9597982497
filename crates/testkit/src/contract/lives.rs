//! How long tokens have been made to live.

use std::{sync::Arc, time::Duration};

use sso_core::ports::Store;

const MINUTE: Duration = Duration::from_mins(1);

/// In whatever order they come; a transaction sees what was committed before it and its own.
pub async fn the_longest_life_of_an_access_token_is_remembered(store: Arc<dyn Store>) {
    assert_eq!(
        commit!(store, tx => tx.longest_access_life()),
        Duration::ZERO
    );
    for (life, longest) in [(15, 15), (60, 60), (5, 60), (60, 60)] {
        let told = commit!(store, tx => tx.remember_access_life(life * MINUTE));
        assert_eq!(told, longest * MINUTE);
        let told = commit!(store, tx => tx.longest_access_life());
        assert_eq!(told, longest * MINUTE);
    }
}

/// As if nothing had been said.
pub async fn a_life_that_was_not_committed_is_not_remembered(store: Arc<dyn Store>) {
    commit!(store, tx => tx.remember_access_life(MINUTE));
    let mut tx = store.begin().await.unwrap();
    assert_eq!(
        tx.remember_access_life(2 * MINUTE).await.unwrap(),
        2 * MINUTE
    );
    drop(tx);
    assert_eq!(commit!(store, tx => tx.longest_access_life()), MINUTE);
}
