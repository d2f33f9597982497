//! The way of events from the outbox to the sink.

use std::sync::{Mutex, PoisonError, atomic::Ordering};

use async_trait::async_trait;
use sso_core::{
    ports::{
        RandomIds,
        store::{Backlog, NewEvent},
    },
    usecases::relay::{Round, deliver_pending},
    values::{EventId, UserId},
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
}

/// Answers as it is told, and remembers what it was given.
struct Sink<F> {
    answer: F,
    given: Mutex<Vec<Envelope>>,
}

impl<F: Fn(&Envelope) -> Result<(), DeliveryError>> Sink<F> {
    fn new(answer: F) -> Self {
        Self {
            answer,
            given: Mutex::default(),
        }
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

async fn round(app: &App, sink: &dyn EventSink) -> Round {
    deliver_pending(app.sso.store.as_ref(), sink, &app.sso.clock)
        .await
        .unwrap()
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
    let pending = app.sso.store.pending_events(10).await.unwrap();
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
    deliver_pending(app.sso.store.as_ref(), &sink, &app.sso.clock)
        .await
        .unwrap_err();
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
        app.sso.store.pending_events(1).await.unwrap()[0]
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
