//! The way of events from the outbox to the sink.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU8, Ordering},
};

use async_trait::async_trait;
use sso_core::{
    ports::{
        AllShards, RandomIds, Shards, StoreError,
        store::{Backlog, NewEvent},
    },
    usecases::relay::{Lane, Relay, Round},
    values::{EventId, ShardSet, UserId, shard_of},
};
use sso_events::{DeliveryError, Envelope, EventSink};
use sso_testkit::app::App;

use crate::support::{AnyStore, app, on_every_store, spy::SpyStore};

on_every_store! {
    what_the_sink_has_is_pending_no_more
    an_unreachable_sink_costs_an_event_nothing_however_long_it_is_away
    an_event_that_is_refused_too_often_fails_and_holds_back_its_users_later_ones
    what_was_held_back_is_tried_again_without_an_attempt
    after_a_crash_between_sink_and_store_the_same_id_is_delivered_again
    the_events_of_a_user_are_delivered_in_their_order
    what_the_sink_has_is_told_later_and_not_delivered_again
    only_events_of_the_shards_that_are_held_are_delivered
    a_shard_that_is_lost_while_its_events_are_read_is_not_delivered
    the_shards_of_a_lane_are_in_use_while_it_delivers
    what_is_given_up_is_not_in_use_in_the_next_round
}

/// Answers as it is told, and remembers what it was given.
struct Sink<F> {
    answer: F,
    given: Mutex<Vec<Envelope>>,
}

impl<F: Fn(&Envelope) -> Result<(), DeliveryError>> Sink<F> {
    fn new(answer: F) -> Arc<Self> {
        Arc::new(Self {
            answer,
            given: Mutex::default(),
        })
    }

    /// What it was given since the last call.
    fn take(&self) -> Vec<Envelope> {
        std::mem::take(&mut *self.given.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait]
impl<F> EventSink for Sink<F>
where
    F: Fn(&Envelope) -> Result<(), DeliveryError> + Send + Sync,
{
    async fn deliver(&self, batch: &[Envelope]) -> Vec<Result<(), DeliveryError>> {
        self.given
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend_from_slice(batch);
        batch.iter().map(&self.answer).collect()
    }
}

fn relay(app: &App, sink: Arc<dyn EventSink>, shards: Arc<dyn Shards>) -> Relay {
    Relay::new(app.sso.store.clone(), sink, app.sso.clock.clone(), shards)
}

/// All shards in one lane.
fn lane() -> Lane {
    Lane::all(1).pop().unwrap()
}

/// A round of a process that has just started.
async fn try_round(app: &App, sink: &Arc<impl EventSink + 'static>) -> Result<Round, StoreError> {
    let relay = relay(app, sink.clone(), Arc::new(AllShards));
    relay.round(&mut lane()).await
}

async fn round(app: &App, sink: &Arc<impl EventSink + 'static>) -> Round {
    try_round(app, sink).await.unwrap()
}

/// Holds what a test says.
#[derive(Default)]
struct Held(AtomicU8, Mutex<Vec<ShardSet>>);

impl Held {
    fn set(&self, shards: ShardSet) {
        self.0.store(shards.bits(), Ordering::Relaxed);
    }
}

#[async_trait]
impl Shards for Held {
    fn mine(&self) -> ShardSet {
        ShardSet::from_bits(self.0.load(Ordering::Relaxed))
    }

    async fn tend(&self, in_use: ShardSet) -> Result<(), StoreError> {
        self.1
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(in_use);
        Ok(())
    }

    async fn leave(&self) {}
}

async fn backlog(app: &App) -> (u64, u64) {
    let Backlog {
        in_progress,
        failed,
        ..
    } = app.sso.store.backlog().await.unwrap();
    (in_progress, failed)
}

async fn attempts(app: &App) -> Vec<u32> {
    let pending = app
        .sso
        .store
        .pending_events(ShardSet::ALL, 10)
        .await
        .unwrap();
    pending.iter().map(|event| event.attempts).collect()
}

/// Stores another event of a user.
async fn append(app: &App, user: UserId) -> EventId {
    let now = app.sso.clock.now();
    let event = NewEvent {
        id: EventId::from_uuid(app.sso.random.uuid_v7(now)),
        user,
        kind: "registration",
        payload: vec![1],
        created_at: now,
        traceparent: None,
        tracestate: None,
    };
    let mut tx = app.sso.store.begin().await.unwrap();
    tx.append_event(&event).await.unwrap();
    tx.commit().await.unwrap();
    event.id
}

async fn what_the_sink_has_is_pending_no_more(store: AnyStore) {
    let app = app(store).await;
    let user = app.register("alice").await.unwrap().user;
    let sink = Sink::new(|_| Ok(()));
    assert_eq!(
        round(&app, &sink).await,
        Round {
            delivered: 1,
            ..Round::default()
        }
    );
    assert_eq!(backlog(&app).await, (0, 0));
    let given = sink.take();
    assert_eq!((given.len(), given[0].key), (1, user.as_uuid()));
    assert_eq!(round(&app, &sink).await, Round::default());
    assert!(sink.take().is_empty());
}

async fn an_unreachable_sink_costs_an_event_nothing_however_long_it_is_away(store: AnyStore) {
    let app = app(store).await;
    app.register("alice").await.unwrap();
    let away = Sink::new(|_| Err(DeliveryError::Unreachable("no route".to_owned())));
    for _ in 0..10 {
        assert_eq!(
            round(&app, &away).await,
            Round {
                unreachable: true,
                ..Round::default()
            }
        );
    }
    assert_eq!(attempts(&app).await, [0]);
    assert_eq!(round(&app, &Sink::new(|_| Ok(()))).await.delivered, 1);
}

async fn an_event_that_is_refused_too_often_fails_and_holds_back_its_users_later_ones(
    store: AnyStore,
) {
    let app = app(store).await;
    let user = app.register("alice").await.unwrap().user;
    let refuse = Sink::new(|_| Err(DeliveryError::Refused("too large".to_owned())));
    for before in 0..5 {
        assert_eq!(attempts(&app).await, [before]);
        assert_eq!(
            round(&app, &refuse).await,
            Round {
                refused: 1,
                ..Round::default()
            }
        );
    }
    assert_eq!(backlog(&app).await, (0, 1));

    append(&app, user).await;
    app.register("bob").await.unwrap();
    let sink = Sink::new(|_| Ok(()));
    assert_eq!(round(&app, &sink).await.delivered, 1);
    assert_ne!(sink.take()[0].key, user.as_uuid());
    assert_eq!(backlog(&app).await, (1, 1));
}

async fn what_was_held_back_is_tried_again_without_an_attempt(store: AnyStore) {
    let app = app(store).await;
    app.register("alice").await.unwrap();
    let hold = Sink::new(|_| Err(DeliveryError::HeldBack));
    for _ in 0..10 {
        assert_eq!(
            round(&app, &hold).await,
            Round {
                refused: 1,
                ..Round::default()
            }
        );
    }
    assert_eq!(attempts(&app).await, [0]);
    assert_eq!(round(&app, &Sink::new(|_| Ok(()))).await.delivered, 1);
}

async fn after_a_crash_between_sink_and_store_the_same_id_is_delivered_again(store: AnyStore) {
    let spy = SpyStore::before(store);
    let app = app(spy.clone()).await;
    app.register("alice").await.unwrap();
    let sink = Sink::new(|_| Ok(()));
    spy.fail_settle.store(true, Ordering::Relaxed);
    try_round(&app, &sink).await.unwrap_err();
    assert_eq!(backlog(&app).await, (1, 0));
    assert_eq!(round(&app, &sink).await.delivered, 1);
    let given = sink.take();
    assert_eq!(given.len(), 2);
    assert_eq!(given[0], given[1]);
}

async fn the_events_of_a_user_are_delivered_in_their_order(store: AnyStore) {
    let app = app(store).await;
    let alice = app.register("alice").await.unwrap().user;
    let mut of_alice = vec![
        app.sso
            .store
            .pending_events(ShardSet::ALL, 1)
            .await
            .unwrap()[0]
            .id
            .as_uuid(),
    ];
    for at in 0..5 {
        app.register(&format!("other{at}")).await.unwrap();
        of_alice.push(append(&app, alice).await.as_uuid());
    }
    let sink = Sink::new(|_| Ok(()));
    assert_eq!(round(&app, &sink).await.delivered, 11);
    let given = sink.take();
    let delivered = given.iter().filter(|event| event.key == alice.as_uuid());
    assert!(delivered.map(|event| event.id).eq(of_alice));
}

async fn what_the_sink_has_is_told_later_and_not_delivered_again(store: AnyStore) {
    let spy = SpyStore::before(store);
    let app = app(spy.clone()).await;
    app.register("alice").await.unwrap();
    let sink = Sink::new(|_| Ok(()));
    let relay = relay(&app, sink.clone(), Arc::new(AllShards));
    let mut lane = lane();
    spy.fail_settle.store(true, Ordering::Relaxed);
    relay.round(&mut lane).await.unwrap_err();
    assert_eq!(backlog(&app).await, (1, 0));
    assert_eq!(relay.round(&mut lane).await.unwrap(), Round::default());
    assert_eq!(backlog(&app).await, (0, 0));
    assert_eq!(sink.take().len(), 1);
}

async fn only_events_of_the_shards_that_are_held_are_delivered(store: AnyStore) {
    let app = app(store).await;
    let mut users = Vec::new();
    for number in 0..20 {
        users.push(app.register(&format!("u{number}")).await.unwrap().user);
    }
    let (sink, held) = (Sink::new(|_| Ok(())), Arc::new(Held::default()));
    let relay = relay(&app, sink.clone(), held.clone());
    let mut lane = lane();
    assert_eq!(relay.round(&mut lane).await.unwrap(), Round::default());
    let first = ShardSet::NONE.with(shard_of(users[0]));
    for shards in [first, ShardSet::ALL.without(first)] {
        held.set(shards);
        relay.round(&mut lane).await.unwrap();
        let expected = users
            .iter()
            .filter(|user| shards.contains(shard_of(**user)));
        let given = sink.take();
        assert!(
            given
                .iter()
                .map(|event| event.key)
                .eq(expected.map(UserId::as_uuid))
        );
    }
    assert_eq!(backlog(&app).await, (0, 0));
}

/// Answers the first question otherwise than the later ones.
struct LostAtOnce(AtomicU8);

#[async_trait]
impl Shards for LostAtOnce {
    fn mine(&self) -> ShardSet {
        ShardSet::from_bits(self.0.swap(0, Ordering::Relaxed))
    }

    async fn tend(&self, _: ShardSet) -> Result<(), StoreError> {
        Ok(())
    }

    async fn leave(&self) {}
}

async fn a_shard_that_is_lost_while_its_events_are_read_is_not_delivered(store: AnyStore) {
    let app = app(store).await;
    app.register("alice").await.unwrap();
    let sink = Sink::new(|_| Ok(()));
    let shards = LostAtOnce(AtomicU8::new(u8::MAX));
    let relay = relay(&app, sink.clone(), Arc::new(shards));
    relay.round(&mut lane()).await.unwrap();
    assert!(sink.take().is_empty());
    assert_eq!(backlog(&app).await, (1, 0));
}

/// Tends in the middle of a delivery, as the loop beside it may.
struct Tending(Mutex<Option<Arc<Relay>>>);

#[async_trait]
impl EventSink for Tending {
    async fn deliver(&self, batch: &[Envelope]) -> Vec<Result<(), DeliveryError>> {
        let relay = self.0.lock().unwrap().clone().unwrap();
        relay.tend().await.unwrap();
        vec![Ok(()); batch.len()]
    }
}

async fn the_shards_of_a_lane_are_in_use_while_it_delivers(store: AnyStore) {
    let app = app(store).await;
    app.register("alice").await.unwrap();
    app.register("bob").await.unwrap();
    let (held, sink) = (
        Arc::new(Held::default()),
        Arc::new(Tending(Mutex::default())),
    );
    held.set(ShardSet::ALL);
    let relay = Arc::new(relay(&app, sink.clone(), held.clone()));
    *sink.0.lock().unwrap() = Some(relay.clone());
    for mut lane in Lane::all(2) {
        relay.round(&mut lane).await.unwrap();
    }
    relay.tend().await.unwrap();
    *sink.0.lock().unwrap() = None;
    let seen = held.1.lock().unwrap().clone();
    assert_eq!(seen.last(), Some(&ShardSet::NONE));
    let (even, odd) = (
        ShardSet::from_bits(0b0101_0101),
        ShardSet::from_bits(0b1010_1010),
    );
    let busy = &seen[..seen.len() - 1];
    assert!(!busy.is_empty());
    assert!(
        busy.iter().all(|shards| [even, odd].contains(shards)),
        "{seen:?}"
    );
}

async fn what_is_given_up_is_not_in_use_in_the_next_round(store: AnyStore) {
    let app = app(store).await;
    for number in 0..20 {
        app.register(&format!("u{number}")).await.unwrap();
    }
    let (held, sink) = (
        Arc::new(Held::default()),
        Arc::new(Tending(Mutex::default())),
    );
    let relay = Arc::new(relay(&app, sink.clone(), held.clone()));
    *sink.0.lock().unwrap() = Some(relay.clone());
    let some = ShardSet::from_bits(0b0000_1111);
    held.set(some);
    relay.round(&mut lane()).await.unwrap();
    *sink.0.lock().unwrap() = None;
    assert_eq!(*held.1.lock().unwrap(), [some]);
}
