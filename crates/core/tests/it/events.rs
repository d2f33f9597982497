//! What administrators see of events, and say of those that failed.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use sso_core::{
    Caller, Failure, Fields, Identity, Kind, Origin, Scope, Scopes, Service,
    ports::store::{Delivered, EventStatus},
    usecases::{
        Ask,
        events::{page, resend, skip},
    },
    values::{EventId, ShardSet},
};
use sso_testkit::app::{App, anonymous};

use crate::support::{AnyStore, app, code, on_every_store};

on_every_store! {
    only_who_may_administer_events_does
    a_failed_event_is_resent_or_skipped_and_the_relay_is_woken
    what_has_not_failed_stays_and_the_reason_is_told
}

fn service(scope: Scope) -> Caller {
    Caller {
        origin: Origin::default(),
        identity: Identity::Service(Service {
            name: "desk".into(),
            scopes: Scopes::from_iter([scope]),
        }),
    }
}

/// An app with an event for each user, the relay's wake-ups counted.
async fn with_events(store: AnyStore, names: &[&str]) -> (App, Arc<AtomicUsize>, Vec<EventId>) {
    let mut app = app(store).await;
    for name in names {
        app.register(name).await.unwrap();
    }
    let pending = app
        .sso
        .store
        .pending_events(ShardSet::ALL, 100)
        .await
        .unwrap();
    let woken = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&woken);
    app.sso.nudge = Arc::new(move |_| {
        counter.fetch_add(1, Relaxed);
    });
    let ids = pending.iter().map(|event| event.id).collect();
    (app, woken, ids)
}

async fn settle(app: &App, id: EventId, delivered: Delivered) {
    let now = app.sso.clock.now();
    let settled = [(id, delivered)];
    app.sso.store.settle_events(&settled, now).await.unwrap();
}

async fn only_who_may_administer_events_does(store: AnyStore) {
    let (app, woken, ids) = with_events(store, &["alice"]).await;
    settle(&app, ids[0], Delivered::Failed).await;
    let user = app.login("alice", "the secret of alice").await.unwrap();
    let user = app.caller(&user.access_token).await.unwrap();
    for caller in [anonymous(), user, service(Scope::UsersAdmin)] {
        let listed = page(&app.sso, &caller, "", Ask::default(), Fields::default()).await;
        assert_eq!(code(listed.map_err(Failure::from)), "forbidden");
        let resent = resend(&app.sso, &caller, ids[0]).await;
        assert_eq!(code(resent.map_err(Failure::from)), "forbidden");
        let skipped = skip(&app.sso, &caller, ids[0]).await;
        assert_eq!(code(skipped.map_err(Failure::from)), "forbidden");
    }
    assert_eq!(woken.load(Relaxed), 0);
    assert_eq!(app.sso.store.backlog().await.unwrap().failed, 1);
    let desk = service(Scope::EventsAdmin);
    let listed = page(&app.sso, &desk, "Failed", Ask::default(), Fields::default()).await;
    assert_eq!(listed.unwrap().items[0].id, ids[0]);
}

async fn a_failed_event_is_resent_or_skipped_and_the_relay_is_woken(store: AnyStore) {
    let (app, woken, ids) = with_events(store, &["alice", "bob"]).await;
    for id in &ids {
        settle(&app, *id, Delivered::Failed).await;
    }
    let operator = Caller::operator();
    let resent = resend(&app.sso, &operator, ids[0]).await.unwrap();
    assert_eq!(resent.status, EventStatus::InProgress);
    assert_eq!(woken.load(Relaxed), 1);
    let skipped = skip(&app.sso, &operator, ids[1]).await.unwrap();
    assert!(skipped.skipped_at.is_some());
    assert_eq!(woken.load(Relaxed), 2);
}

async fn what_has_not_failed_stays_and_the_reason_is_told(store: AnyStore) {
    let (app, woken, ids) = with_events(store, &["alice", "bob", "carol"]).await;
    settle(&app, ids[1], Delivered::Success).await;
    settle(&app, ids[2], Delivered::Failed).await;
    let operator = Caller::operator();
    skip(&app.sso, &operator, ids[2]).await.unwrap();
    for (id, why) in [
        (ids[0], "in progress"),
        (ids[1], "delivered"),
        (ids[2], "skipped"),
    ] {
        for moved in [
            resend(&app.sso, &operator, id).await,
            skip(&app.sso, &operator, id).await,
        ] {
            let failure = Failure::from(moved.unwrap_err());
            assert_eq!(
                (failure.kind, failure.code),
                (Kind::Precondition, "event_not_failed")
            );
            assert!(failure.message.contains(why), "{}", failure.message);
        }
    }
    assert_eq!(woken.load(Relaxed), 1);
    let unknown = EventId::from_uuid(uuid::Uuid::nil());
    let moved = resend(&app.sso, &operator, unknown).await;
    assert_eq!(code(moved.map_err(Failure::from)), "not_found");
}
