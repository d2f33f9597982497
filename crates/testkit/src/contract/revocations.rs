//! Revocations and their feed.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use sso_core::{
    ports::{
        Store,
        store::{NewRevocation, Question, Reach, Revocation, Revoked},
    },
    values::{KeyTag, Version},
};
use time::OffsetDateTime;

use super::given::{CROWD, Given, NOW, TICK, crowd};

/// What one beat tells.
pub(super) async fn beat(store: &Arc<dyn Store>, now: OffsetDateTime) -> Vec<Revocation> {
    let held = Vec::new;
    let question = Question {
        now,
        held: &held,
        anew: false,
        expects: false,
    };
    let answer = store.beat(question).await.unwrap();
    answer.entries.into_iter().collect()
}

fn of(revoked: Revoked) -> NewRevocation {
    NewRevocation {
        revoked,
        until: NOW + TICK,
    }
}

/// Of every kind, as they were stored.
pub async fn each_entry_is_told_once_with_a_rising_id(store: Arc<dyn Store>) {
    let given = Given::new();
    assert_eq!(beat(&store, NOW).await, []);
    let session = of(Revoked::Session(given.session_id()));
    let user = of(Revoked::TokensBelow(given.user_id(), Version::new(1 << 40)));
    let first = commit!(store, tx => tx.revoke(&session));
    let second = commit!(store, tx => tx.revoke(&user));
    assert!(first.id < second.id);
    let as_stored = |entry: &Revocation, new: &NewRevocation| {
        assert_eq!((entry.revoked, entry.until), (new.revoked, new.until));
    };
    as_stored(&first, &session);
    as_stored(&second, &user);
    assert_eq!(beat(&store, NOW).await, [first, second]);
    assert_eq!(beat(&store, NOW).await, []);
    let key = of(Revoked::Key(KeyTag::from_uuid(given.user_id().as_uuid())));
    let third = commit!(store, tx => tx.revoke(&key));
    as_stored(&third, &key);
    assert_eq!(beat(&store, NOW).await, [third]);
}

/// It matters to its last moment.
pub async fn what_does_not_matter_any_more_is_not_told(store: Arc<dyn Store>) {
    let given = Given::new();
    let new = of(Revoked::Session(given.session_id()));
    let last_moment = commit!(store, tx => tx.revoke(&new));
    assert_eq!(beat(&store, NOW + TICK).await, [last_moment]);
    commit!(store, tx => tx.revoke(&new));
    assert_eq!(beat(&store, NOW + TICK * 2).await, []);
}

/// Nor does its id leave a hole that hides the next.
pub async fn a_dropped_revocation_is_never_told(store: Arc<dyn Store>) {
    let given = Given::new();
    let new = of(Revoked::Session(given.session_id()));
    let mut tx = store.begin().await.unwrap();
    tx.revoke(&new).await.unwrap();
    drop(tx);
    assert_eq!(beat(&store, NOW).await, []);
    let told = commit!(store, tx => tx.revoke(&new));
    assert_eq!(beat(&store, NOW).await, [told]);
}

/// Beats run while a crowd commits; in the end each entry was told exactly once.
pub async fn none_is_skipped_however_commits_interleave(store: Arc<dyn Store>) {
    const EACH: usize = 5;
    let done = Arc::new(AtomicBool::new(false));
    let listener = tokio::spawn({
        let (store, done) = (Arc::clone(&store), Arc::clone(&done));
        async move {
            let mut told = Vec::new();
            loop {
                let last = done.load(Ordering::Acquire);
                told.extend(beat(&store, NOW).await);
                if last {
                    return told;
                }
                tokio::task::yield_now().await;
            }
        }
    });
    let given = Arc::new(Given::new());
    let stored = crowd(|_| {
        let (store, given) = (Arc::clone(&store), Arc::clone(&given));
        async move {
            let mut stored = Vec::new();
            for _ in 0..EACH {
                let new = of(Revoked::Session(given.session_id()));
                stored.push(commit!(store, tx => tx.revoke(&new)).id);
            }
            stored
        }
    })
    .await;
    done.store(true, Ordering::Release);
    let told: Vec<_> = listener
        .await
        .unwrap()
        .iter()
        .map(|entry| entry.id)
        .collect();
    assert_eq!(told.len(), CROWD * EACH);
    let stored: BTreeSet<_> = stored.into_iter().flatten().collect();
    assert_eq!(told.into_iter().collect::<BTreeSet<_>>(), stored);
}

/// There is nobody else to wait for.
pub async fn what_the_only_instance_obeys_is_obeyed_everywhere(store: Arc<dyn Store>) {
    let given = Given::new();
    let new = of(Revoked::Session(given.session_id()));
    let entry = commit!(store, tx => tx.revoke(&new));
    // The second question says that the first answer is obeyed.
    for told in [vec![entry], Vec::new()] {
        assert_eq!(beat(&store, NOW).await, told);
    }
    let reach = store.acknowledged(&entry, Duration::from_secs(5)).await;
    assert_eq!(reach.unwrap(), Reach::Everywhere);
}

/// For who ends what is over already: nothing is stored, and nobody has been told of it earlier than
/// of what was stored before.
pub async fn what_was_revoked_before_is_obeyed_no_earlier_than_it_is(store: Arc<dyn Store>) {
    let given = Given::new();
    let new = of(Revoked::Session(given.session_id()));
    let held = Vec::new;
    let question = Question {
        now: NOW,
        held: &held,
        anew: false,
        expects: false,
    };
    let before = store.beat(question).await.unwrap();
    let entry = commit!(store, tx => tx.revoke(&new));
    let again = commit!(store, tx => tx.revoked_before(&new));
    assert_eq!((again.revoked, again.until), (new.revoked, new.until));
    assert_eq!(again.stamp.timeline, entry.stamp.timeline);
    assert!(again.stamp.xid >= entry.stamp.xid);
    assert!(!before.snapshot.sees(again.stamp.xid));
    let after = store.beat(question).await.unwrap();
    assert!(after.entries.into_iter().eq([entry]));
    assert!(after.snapshot.sees(again.stamp.xid));
    assert_eq!(beat(&store, NOW).await, []);
    let reach = store.acknowledged(&again, Duration::from_secs(5)).await;
    assert_eq!(reach.unwrap(), Reach::Everywhere);
}

/// That is how a hint that is none is found out.
pub async fn an_answer_says_which_transactions_it_has_seen(store: Arc<dyn Store>) {
    let given = Given::new();
    let new = of(Revoked::Session(given.session_id()));
    let entry = commit!(store, tx => tx.revoke(&new));
    let held = Vec::new;
    let question = Question {
        now: NOW,
        held: &held,
        anew: false,
        expects: false,
    };
    let before = store.beat(question).await.unwrap();
    assert_eq!(before.timeline, entry.stamp.timeline);
    assert!(before.snapshot.sees(entry.stamp.xid));
    let later = commit!(store, tx => tx.revoke(&new));
    assert!(!before.snapshot.sees(later.stamp.xid));
    let after = store.beat(question).await.unwrap();
    assert!(after.snapshot.sees(later.stamp.xid));
}

/// Whoever leaves is waited for by nobody.
pub async fn an_instance_may_leave(store: Arc<dyn Store>) {
    beat(&store, NOW).await;
    store.leave().await.unwrap();
}
