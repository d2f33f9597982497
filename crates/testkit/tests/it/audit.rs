//! What the use cases tell the audit log, and who may read it.

use std::{sync::Arc, time::Duration};

use sso_core::{
    Caller, Fields, Origin,
    ports::store::{AuditPage, AuditRecord},
    usecases::{
        administer, audit,
        refresh::{self, Refresh},
    },
};
use sso_testkit::{
    app::{App, anonymous},
    clock::ManualClock,
    memory::MemoryStore,
};

async fn app() -> App {
    let clock = Arc::new(ManualClock::new());
    App::new(Arc::new(MemoryStore::new()), clock).await.unwrap()
}

async fn told(app: &App, action: &str) -> Vec<AuditRecord> {
    audit::flush(&app.sso, false).await.unwrap();
    let page = AuditPage {
        action: Some(action.to_owned()),
        limit: 100,
        ..AuditPage::default()
    };
    audit::list(&app.sso, &Caller::operator(), &page)
        .await
        .unwrap()
}

async fn refresh_from(app: &App, address: &str, token: &str) {
    let caller = Caller::anonymous(Origin {
        address: Some(address.parse().unwrap()),
        ..Origin::default()
    });
    let request = Refresh::parse("token", Some(token), Fields::default()).unwrap();
    refresh::refresh(&app.sso, &caller, &request).await.unwrap();
}

#[tokio::test]
async fn a_replay_is_told_only_from_another_network_and_summed_up() {
    let app = app().await;
    let alice = app.register("alice").await.unwrap();
    // Her session was opened from nowhere that is known.
    app.refresh(&alice.refresh_token).await.unwrap();
    app.refresh(&alice.refresh_token).await.unwrap();
    assert_eq!(told(&app, "refresh_replay").await, []);
    for _ in 0..3 {
        refresh_from(&app, "192.0.2.1", &alice.refresh_token).await;
    }
    let records = told(&app, "refresh_replay").await;
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].times, 3);
    assert_eq!(records[0].user, Some(alice.user));
    assert_eq!(records[0].address, Some("192.0.2.1".parse().unwrap()));
}

#[tokio::test]
async fn a_wrong_current_password_is_told_of_him_who_tried() {
    let app = app().await;
    let alice = app.register("alice").await.unwrap();
    let wrong = app
        .change_password(&alice.access_token, "not it", "quite another secret")
        .await;
    assert!(wrong.is_err());
    let records = told(&app, "password_change").await;
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].result.as_str(), "refused");
    assert_eq!(records[0].user, Some(alice.user));
}

#[tokio::test]
async fn only_the_operator_reads_the_log_deletes_and_exports() {
    let app = app().await;
    let alice = app.register("alice").await.unwrap();
    let herself = app.caller(&alice.access_token).await.unwrap();
    for caller in [anonymous(), herself] {
        let page = AuditPage::default();
        assert!(audit::list(&app.sso, &caller, &page).await.is_err());
        let deleted = administer::delete(&app.sso, &caller, alice.user).await;
        assert!(deleted.is_err());
        let exported = administer::export(&app.sso, &caller, alice.user).await;
        assert!(exported.is_err());
    }
    assert!(app.user(alice.user).await.is_ok());
    assert_eq!(told(&app, "user_export").await, []);
}

#[tokio::test]
async fn a_deleted_user_has_no_token_left() {
    let app = app().await;
    let alice = app.register("alice").await.unwrap();
    assert!(app.validate(&alice.access_token).await.is_ok());
    administer::delete(&app.sso, &Caller::operator(), alice.user)
        .await
        .unwrap();
    assert!(app.validate(&alice.access_token).await.is_err());
    assert!(app.refresh(&alice.refresh_token).await.is_err());
    assert!(app.logout(&alice.refresh_token, true).await.is_ok());
    app.advance(Duration::from_hours(1)).await.unwrap();
    assert!(app.login("alice", "the secret of alice").await.is_err());
}
