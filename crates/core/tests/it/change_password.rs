//! A new password ends every session but the one it opens.

use sso_core::{
    Caller, Fields,
    ports::{TokenRefused, store::Reach},
    usecases::{
        administer::Change,
        change_password::{self, ChangePassword, ChangePasswordError, Input},
    },
};
use sso_testkit::app::{App, anonymous, password_of};

use crate::support::{AnyStore, access, app, assert_alive, assert_over, code, on_every_store};

on_every_store! {
    every_other_session_ends_and_the_new_tokens_work
    a_wrong_current_password_changes_nothing
    the_password_before_is_no_new_one
    a_weak_password_is_refused_with_every_other_bad_field
    a_token_that_was_revoked_meanwhile_changes_nothing
    a_role_change_in_between_does_not_stop_it
    only_a_user_has_a_password
}

const NEW: &str = "a new secret of alice";

fn request(app: &App, caller: &Caller, current: &str) -> ChangePassword {
    let input = Input {
        current_password: Some(current),
        new_password: Some(NEW),
    };
    ChangePassword::parse(&app.sso, caller, &input, Fields::default()).unwrap()
}

async fn every_other_session_ends_and_the_new_tokens_work(store: AnyStore) {
    let app = app(store).await;
    let first = app.register("alice").await.unwrap();
    let other = app.login("alice", &password_of("alice")).await.unwrap();
    let caller = app.caller(&first.access_token).await.unwrap();
    let asked = request(&app, &caller, &password_of("alice"));
    let (tokens, reach) = change_password::change_password(&app.sso, &caller, asked)
        .await
        .unwrap();
    assert_eq!(reach, Reach::Everywhere);
    assert_over(&app, &first).await;
    assert_over(&app, &other).await;
    assert_ne!(access(&app, &tokens).session, access(&app, &first).session);
    assert_alive(&app, &tokens).await;
    assert_eq!(
        code(app.login("alice", &password_of("alice")).await),
        "invalid_credentials"
    );
    app.login("alice", NEW).await.unwrap();
}

async fn a_wrong_current_password_changes_nothing(store: AnyStore) {
    let app = app(store).await;
    let tokens = app.register("alice").await.unwrap();
    let changed = app
        .change_password(&tokens.access_token, "another one", NEW)
        .await;
    assert_eq!(code(changed), "invalid_credentials");
    // Nor does it tell that the new one would be the one before.
    let same = app.change_password(&tokens.access_token, NEW, NEW).await;
    assert_eq!(code(same), "invalid_credentials");
    assert_alive(&app, &tokens).await;
    app.login("alice", &password_of("alice")).await.unwrap();
}

async fn the_password_before_is_no_new_one(store: AnyStore) {
    let app = app(store).await;
    let tokens = app.register("alice").await.unwrap();
    let same = password_of("alice");
    let changed = app
        .change_password(&tokens.access_token, &same, &same)
        .await;
    let failure = changed.unwrap_err();
    assert_eq!(failure.code, "weak_password");
    assert_eq!(failure.fields[0].field, "new_password");
    assert_alive(&app, &tokens).await;
}

async fn a_weak_password_is_refused_with_every_other_bad_field(store: AnyStore) {
    let app = app(store).await;
    let tokens = app.register("Alice").await.unwrap();
    for weak in ["short", "password1", "alice@example.com"] {
        let changed = app.change_password(&tokens.access_token, "", weak).await;
        let named: Vec<_> = changed
            .unwrap_err()
            .fields
            .iter()
            .map(|bad| (bad.field, bad.code))
            .collect();
        let expected = [
            ("current_password", "required"),
            ("new_password", "weak_password"),
        ];
        assert_eq!(named, expected, "{weak}");
    }
}

async fn a_token_that_was_revoked_meanwhile_changes_nothing(store: AnyStore) {
    let app = app(store).await;
    for (name, how) in [
        ("alice", "logout"),
        ("bob", "disable"),
        ("carol", "elsewhere"),
    ] {
        let tokens = app.register(name).await.unwrap();
        let caller = app.caller(&tokens.access_token).await.unwrap();
        match how {
            "logout" => drop(app.logout(&tokens.access_token, false).await.unwrap()),
            "disable" => drop(app.change(tokens.user, Change::Disable).await.unwrap()),
            // By another process, whose entry is not here yet: the row tells.
            _ => {
                let mut tx = app.sso.store.begin().await.unwrap();
                tx.end_user_sessions(tokens.user).await.unwrap();
                tx.commit().await.unwrap();
            }
        }
        let before = app.user(tokens.user).await.unwrap();
        let asked = request(&app, &caller, &password_of(name));
        let changed = change_password::change_password(&app.sso, &caller, asked).await;
        let revoked = matches!(
            changed,
            Err(ChangePasswordError::Token(TokenRefused::Revoked))
        );
        assert!(revoked, "{how}: {changed:?}");
        assert_eq!(app.user(tokens.user).await.unwrap(), before, "{how}");
    }
}

async fn a_role_change_in_between_does_not_stop_it(store: AnyStore) {
    let app = app(store).await;
    let tokens = app.register("alice").await.unwrap();
    // The role is granted by another process: the row has a higher version than the token.
    let mut tx = app.sso.store.begin().await.unwrap();
    tx.set_admin(tokens.user, true).await.unwrap();
    tx.commit().await.unwrap();
    let tokens = app
        .change_password(&tokens.access_token, &password_of("alice"), NEW)
        .await
        .unwrap();
    assert!(access(&app, &tokens).is_admin);
    assert_alive(&app, &tokens).await;
}

async fn only_a_user_has_a_password(store: AnyStore) {
    let app = app(store).await;
    for caller in [anonymous(), Caller::operator()] {
        let parsed = ChangePassword::parse(&app.sso, &caller, &Input::default(), Fields::default());
        assert_eq!(code(parsed), "forbidden");
    }
}
