//! The outbox.

use std::{collections::BTreeMap, sync::Arc};

use sso_core::{
    ports::{
        Store,
        store::{Backlog, Delivered, NewEvent},
    },
    values::{EventId, ShardSet, UserId, shard_of},
};

use super::given::{Given, NOW, TICK};

async fn append(store: &Arc<dyn Store>, given: &Given, user: UserId) -> EventId {
    let event = given.new_event(user);
    commit!(store, tx => tx.append_event(&event));
    event.id
}

async fn settle(store: &Arc<dyn Store>, id: EventId, delivered: Delivered) {
    store.settle_events(&[(id, delivered)], NOW).await.unwrap();
}

async fn pending(store: &Arc<dyn Store>) -> Vec<EventId> {
    let events = store.pending_events(ShardSet::ALL, 100).await.unwrap();
    events.iter().map(|event| event.id).collect()
}

/// With everything that a relay needs.
pub async fn events_are_pending_in_the_order_they_were_stored(store: Arc<dyn Store>) {
    let given = Given::new();
    let alice = given.user(&store, "alice@example.com").await;
    let new = NewEvent {
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
        tracestate: Some("a=b".to_owned()),
        ..given.new_event(alice.id)
    };
    commit!(store, tx => tx.append_event(&new));
    let second = append(&store, &given, alice.id).await;
    let third = append(&store, &given, given.user_id()).await;

    let events = store.pending_events(ShardSet::ALL, 100).await.unwrap();
    assert!(events.is_sorted_by(|one, next| one.sequence < next.sequence));
    let first = &events[0];
    assert_eq!((first.id, first.user), (new.id, alice.id));
    assert_eq!(
        (first.kind.as_str(), &first.payload),
        (new.kind, &new.payload)
    );
    assert_eq!((first.attempts, first.created_at), (0, NOW));
    assert_eq!(first.traceparent, new.traceparent);
    assert_eq!(first.tracestate, new.tracestate);
    assert_eq!(events[1].traceparent, None);
    assert_eq!(pending(&store).await, [new.id, second, third]);
}

/// Each in one shard, all of a user in the same; none of a shard that was not asked for.
pub async fn events_are_pending_by_the_shards_of_their_users(store: Arc<dyn Store>) {
    let given = Given::new();
    let mut stored = Vec::new();
    for _ in 0..40 {
        let user = given.user_id();
        stored.push((shard_of(user), append(&store, &given, user).await));
        stored.push((shard_of(user), append(&store, &given, user).await));
    }
    let dealt: ShardSet = stored.iter().map(|(shard, _)| *shard).collect();
    assert!(dealt.len() > 3, "{dealt:?}");
    let some: ShardSet = dealt.iter().step_by(2).collect();
    for shards in [some, ShardSet::ALL.without(some), ShardSet::NONE] {
        let events = store.pending_events(shards, 100).await.unwrap();
        let found: Vec<_> = events.iter().map(|event| event.id).collect();
        let expected = stored.iter().filter(|(shard, _)| shards.contains(*shard));
        assert_eq!(found, expected.map(|(_, id)| *id).collect::<Vec<_>>());
    }
}

/// At most as many as were asked for, of each shard the oldest, and as many as its share at least.
pub async fn of_each_shard_its_share_of_pending_events_comes_first(store: Arc<dyn Store>) {
    let given = Given::new();
    let mut stored: BTreeMap<u8, Vec<EventId>> = BTreeMap::new();
    for _ in 0..40 {
        let user = given.user_id();
        let event = append(&store, &given, user).await;
        stored.entry(shard_of(user)).or_default().push(event);
    }
    let shards: ShardSet = stored.keys().copied().collect();
    assert!(shards.len() > 3, "{shards:?}");
    for limit in [1, 3, shards.len(), 2 * shards.len() + 1] {
        let events = store.pending_events(shards, limit).await.unwrap();
        assert!(
            events.len() <= limit as usize,
            "{} of {limit}",
            events.len()
        );
        assert!(events.len() >= shards.share_of(limit) as usize);
        let mut found: BTreeMap<u8, Vec<EventId>> = BTreeMap::new();
        for event in events {
            found
                .entry(shard_of(event.user))
                .or_default()
                .push(event.id);
        }
        for (shard, events) in found {
            assert!(stored[&shard].starts_with(&events), "shard {shard}");
        }
    }
    // One shard alone has all of it.
    let (shard, events) = stored
        .iter()
        .max_by_key(|(_, events)| events.len())
        .unwrap();
    let limit = u32::try_from(events.len()).unwrap();
    let found = store
        .pending_events(ShardSet::NONE.with(*shard), limit)
        .await
        .unwrap();
    assert!(
        found
            .iter()
            .map(|event| event.id)
            .eq(events.iter().copied())
    );
}

/// Once delivered.
pub async fn a_delivered_event_is_pending_no_more(store: Arc<dyn Store>) {
    let given = Given::new();
    let user = given.user_id();
    let first = append(&store, &given, user).await;
    let second = append(&store, &given, user).await;
    settle(&store, first, Delivered::Success).await;
    assert_eq!(pending(&store).await, [second]);
    store.settle_events(&[], NOW).await.unwrap();
    settle(&store, given.event_id(), Delivered::Success).await;
    assert_eq!(pending(&store).await, [second]);
}

/// It is tried again.
pub async fn a_refused_event_stays_and_counts_its_attempts(store: Arc<dyn Store>) {
    let given = Given::new();
    let event = append(&store, &given, given.user_id()).await;
    settle(&store, event, Delivered::Refused).await;
    settle(&store, event, Delivered::Refused).await;
    let events = store.pending_events(ShardSet::ALL, 9).await.unwrap();
    assert_eq!((events[0].id, events[0].attempts), (event, 2));
}

/// A user's events stay in order; delivered after all, the failed one lets them go on.
pub async fn a_failed_event_holds_back_its_users_later_ones_and_nobody_elses(
    store: Arc<dyn Store>,
) {
    let given = Given::new();
    let (alice, bob) = (given.user_id(), given.user_id());
    let earlier = append(&store, &given, alice).await;
    let failed = append(&store, &given, alice).await;
    let later = append(&store, &given, alice).await;
    let bobs = append(&store, &given, bob).await;
    settle(&store, failed, Delivered::Failed).await;
    assert_eq!(pending(&store).await, [earlier, bobs]);
    settle(&store, failed, Delivered::Success).await;
    assert_eq!(pending(&store).await, [earlier, later, bobs]);
}

/// A report of failure may come after one of success, for another attempt.
pub async fn success_wins_over_everything(store: Arc<dyn Store>) {
    let given = Given::new();
    let [early, late] = [
        append(&store, &given, given.user_id()).await,
        append(&store, &given, given.user_id()).await,
    ];
    let settled = [
        (early, Delivered::Success),
        (early, Delivered::Failed),
        (early, Delivered::Refused),
        (late, Delivered::Failed),
        (late, Delivered::Refused),
        (late, Delivered::Success),
    ];
    store.settle_events(&settled, NOW).await.unwrap();
    assert_eq!(pending(&store).await, []);
    assert_eq!(store.backlog().await.unwrap(), Backlog::default());
}

/// Also what is held back waits.
pub async fn the_backlog_counts_what_waits_and_tells_the_oldest(store: Arc<dyn Store>) {
    let given = Given::new();
    assert_eq!(store.backlog().await.unwrap(), Backlog::default());
    let user = given.user_id();
    let mut events = Vec::new();
    for at in 0..4 {
        let event = NewEvent {
            created_at: NOW + TICK * at,
            ..given.new_event(user)
        };
        commit!(store, tx => tx.append_event(&event));
        events.push(event.id);
    }
    settle(&store, events[0], Delivered::Success).await;
    settle(&store, events[1], Delivered::Failed).await;
    let expected = Backlog {
        in_progress: 2,
        failed: 1,
        oldest: Some(NOW + TICK * 2),
    };
    assert_eq!(store.backlog().await.unwrap(), expected);
}
