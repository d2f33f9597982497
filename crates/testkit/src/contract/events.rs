//! Events as administrators see and move them.

use std::sync::Arc;

use sso_core::{
    ports::{
        Store,
        store::{Delivered, EventPage, EventStatus, Moved, NewEvent, StoredEvent},
    },
    values::{EventId, ShardSet, UserId},
};

use super::given::{Given, NOW, TICK, crowd};

async fn append(store: &Arc<dyn Store>, given: &Given, user: UserId) -> EventId {
    let event = given.new_event(user);
    commit!(store, tx => tx.append_event(&event));
    event.id
}

async fn settle(store: &Arc<dyn Store>, id: EventId, delivered: Delivered) {
    store.settle_events(&[(id, delivered)], NOW).await.unwrap();
}

async fn failed(store: &Arc<dyn Store>, given: &Given, user: UserId) -> EventId {
    let id = append(store, given, user).await;
    settle(store, id, Delivered::Failed).await;
    id
}

async fn pending(store: &Arc<dyn Store>) -> Vec<EventId> {
    let events = store.pending_events(ShardSet::ALL, 100).await.unwrap();
    events.iter().map(|event| event.id).collect()
}

async fn list(store: &Arc<dyn Store>, status: Option<EventStatus>) -> Vec<StoredEvent> {
    let page = EventPage {
        status,
        after: 0,
        limit: 100,
    };
    store.events(page).await.unwrap()
}

fn now(moved: Moved) -> StoredEvent {
    match moved {
        Moved::Now(event) => event,
        other => panic!("not moved but {other:?}"),
    }
}

fn not(moved: Moved) -> StoredEvent {
    match moved {
        Moved::Not(event) => event,
        other => panic!("not left alone but {other:?}"),
    }
}

/// With what administrators need to know, and no content.
pub async fn events_are_listed_in_order_by_status_in_pages(store: Arc<dyn Store>) {
    let given = Given::new();
    assert_eq!(list(&store, None).await, []);
    let alice = given.user_id();
    let new = NewEvent {
        created_at: NOW + TICK,
        ..given.new_event(alice)
    };
    commit!(store, tx => tx.append_event(&new));
    let delivered = append(&store, &given, alice).await;
    let failed = append(&store, &given, given.user_id()).await;
    let last = append(&store, &given, given.user_id()).await;
    settle(&store, new.id, Delivered::Refused).await;
    settle(&store, delivered, Delivered::Success).await;
    settle(&store, failed, Delivered::Failed).await;

    let all = list(&store, None).await;
    let ids: Vec<_> = all.iter().map(|event| event.id).collect();
    assert_eq!(ids, [new.id, delivered, failed, last]);
    let first = StoredEvent {
        sequence: all[0].sequence,
        id: new.id,
        user: alice,
        kind: "registration".to_owned(),
        status: EventStatus::InProgress,
        skipped_at: None,
        attempts: 1,
        created_at: NOW + TICK,
    };
    assert_eq!(all[0], first);
    for (status, expected) in [
        (EventStatus::InProgress, &[new.id, last][..]),
        (EventStatus::Success, &[delivered]),
        (EventStatus::Failed, &[failed]),
    ] {
        let listed = list(&store, Some(status)).await;
        assert!(listed.iter().all(|event| event.status == status));
        let ids: Vec<_> = listed.iter().map(|event| event.id).collect();
        assert_eq!(ids, expected);
    }

    let mut page = EventPage {
        status: None,
        after: all[0].sequence,
        limit: 2,
    };
    assert_eq!(store.events(page).await.unwrap(), all[1..3]);
    page.after = all[2].sequence;
    assert_eq!(store.events(page).await.unwrap(), all[3..]);
    page.status = Some(EventStatus::InProgress);
    page.after = all[0].sequence;
    assert_eq!(store.events(page).await.unwrap(), all[3..]);
}

/// It begins anew, and the order of its user's events stays.
pub async fn a_failed_event_is_resent_with_what_it_held_back(store: Arc<dyn Store>) {
    let given = Given::new();
    let alice = given.user_id();
    let event = failed(&store, &given, alice).await;
    let later = append(&store, &given, alice).await;
    assert_eq!(pending(&store).await, []);
    let resent = now(commit!(store, tx => tx.resend_event(event)));
    assert_eq!(
        (resent.status, resent.attempts, resent.skipped_at),
        (EventStatus::InProgress, 0, None)
    );
    assert_eq!(pending(&store).await, [event, later]);
    assert_eq!(store.backlog().await.unwrap().failed, 0);

    settle(&store, event, Delivered::Failed).await;
    let mut tx = store.begin().await.unwrap();
    tx.resend_event(event).await.unwrap();
    drop(tx);
    assert_eq!(pending(&store).await, []);
}

/// It waits for nobody any more, and is not counted among what waits.
pub async fn a_skipped_event_stays_failed_and_holds_back_nothing(store: Arc<dyn Store>) {
    let given = Given::new();
    let alice = given.user_id();
    let event = failed(&store, &given, alice).await;
    let later = append(&store, &given, alice).await;
    assert_eq!(store.backlog().await.unwrap().failed, 1);
    let skipped = now(commit!(store, tx => tx.skip_event(event, NOW + TICK)));
    assert_eq!(
        (skipped.status, skipped.skipped_at, skipped.attempts),
        (EventStatus::Failed, Some(NOW + TICK), 1)
    );
    assert_eq!(pending(&store).await, [later]);
    assert_eq!(store.backlog().await.unwrap().failed, 0);
    assert_eq!(list(&store, Some(EventStatus::Failed)).await, [skipped]);
    // Another one that fails holds back again.
    settle(&store, later, Delivered::Failed).await;
    append(&store, &given, alice).await;
    assert_eq!(pending(&store).await, []);
}

/// A skipped one would come after its user's later ones.
pub async fn only_a_failed_event_moves_and_a_skip_is_final(store: Arc<dyn Store>) {
    let given = Given::new();
    let in_progress = append(&store, &given, given.user_id()).await;
    let delivered = append(&store, &given, given.user_id()).await;
    settle(&store, delivered, Delivered::Success).await;
    let skipped = failed(&store, &given, given.user_id()).await;
    now(commit!(store, tx => tx.skip_event(skipped, NOW)));
    let before = list(&store, None).await;
    for id in [in_progress, delivered, skipped] {
        let event = not(commit!(store, tx => tx.resend_event(id)));
        assert_eq!(event.id, id);
        let again = not(commit!(store, tx => tx.skip_event(id, NOW + TICK)));
        assert_eq!(again, event);
    }
    assert_eq!(list(&store, None).await, before);
    let unknown = given.event_id();
    let resent = commit!(store, tx => tx.resend_event(unknown));
    assert_eq!(resent, Moved::Unknown);
    let skipped = commit!(store, tx => tx.skip_event(unknown, NOW));
    assert_eq!(skipped, Moved::Unknown);
}

/// A report may be late.
pub async fn success_wins_over_a_skip(store: Arc<dyn Store>) {
    let given = Given::new();
    let event = failed(&store, &given, given.user_id()).await;
    now(commit!(store, tx => tx.skip_event(event, NOW)));
    settle(&store, event, Delivered::Success).await;
    let listed = list(&store, None).await;
    assert_eq!(
        (listed[0].status, listed[0].skipped_at),
        (EventStatus::Success, None)
    );
}

/// Two administrators at once.
pub async fn of_fifty_resends_and_skips_of_one_event_one_moves_it(store: Arc<dyn Store>) {
    let given = Given::new();
    let event = failed(&store, &given, given.user_id()).await;
    let moved = crowd(|at| {
        let store = Arc::clone(&store);
        async move {
            if at % 2 == 0 {
                commit!(store, tx => tx.resend_event(event))
            } else {
                commit!(store, tx => tx.skip_event(event, NOW))
            }
        }
    })
    .await;
    let winners = moved.iter().filter(|one| matches!(one, Moved::Now(_)));
    assert_eq!(winners.count(), 1);
}
