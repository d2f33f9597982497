//! What the operator does to users.

use std::collections::HashSet;

use sso_core::{
    Caller, Failure,
    ports::{
        TokenRefused,
        store::{Reach, UserPage},
    },
    usecases::administer::{self, Change},
    values::UserId,
};
use sso_testkit::app::{App, anonymous, email_of, password_of};
use uuid::Uuid;

use crate::support::{AnyStore, access, app, assert_alive, assert_over, code, on_every_store};

on_every_store! {
    neither_users_nor_strangers_administer
    what_takes_access_away_ends_every_session
    a_role_change_makes_tokens_anew_and_ends_no_session
    what_is_set_already_changes_nothing
    a_weak_password_is_refused_from_the_operator_too
    users_are_found_by_address_and_id_and_listed_in_pages
    an_unknown_user_is_not_found
}

const ALL: [Change; 5] = [
    Change::Disable,
    Change::Enable,
    Change::GrantAdmin,
    Change::TakeAdmin,
    Change::EndSessions,
];
const NEW: &str = "a new secret of alice";

/// The code of each thing that can be administered, asked for by `caller` of `user`.
async fn everything(app: &App, caller: &Caller, user: UserId) -> HashSet<&'static str> {
    let mut codes = HashSet::new();
    for change in ALL {
        let changed = administer::change(&app.sso, caller, user, change).await;
        codes.insert(code(changed.map_err(Failure::from)));
    }
    let set = administer::set_password(&app.sso, caller, user, Some(NEW)).await;
    codes.insert(code(set.map_err(Failure::from)));
    let found = administer::find(&app.sso, caller, &user.to_string()).await;
    codes.insert(code(found.map_err(Failure::from)));
    codes
}

async fn neither_users_nor_strangers_administer(store: AnyStore) {
    let app = app(store).await;
    let alice = app.register("alice").await.unwrap();
    app.change(alice.user, Change::GrantAdmin).await.unwrap();
    // Not even by an admin's token: only `admit` turns that into an administrator.
    let tokens = app.login("alice", &password_of("alice")).await.unwrap();
    let before = app.user(alice.user).await.unwrap();
    for caller in [anonymous(), app.caller(&tokens.access_token).await.unwrap()] {
        let codes = everything(&app, &caller, alice.user).await;
        assert_eq!(codes, HashSet::from(["forbidden"]));
        let page = UserPage {
            after: None,
            limit: 10,
        };
        let listed = administer::list(&app.sso, &caller, page).await;
        assert_eq!(code(listed.map_err(Failure::from)), "forbidden");
    }
    assert_eq!(app.user(alice.user).await.unwrap(), before);
    assert_alive(&app, &tokens).await;
}

async fn what_takes_access_away_ends_every_session(store: AnyStore) {
    let app = app(store).await;
    let bob = app.register("bob").await.unwrap();
    for (name, change) in [
        ("alice", Some(Change::Disable)),
        ("carol", Some(Change::EndSessions)),
        ("dave", None),
    ] {
        let one = app.register(name).await.unwrap();
        let other = app.login(name, &password_of(name)).await.unwrap();
        let changed = match change {
            Some(change) => app.change(one.user, change).await.unwrap(),
            None => app.set_password(one.user, NEW).await.unwrap(),
        };
        assert_eq!(changed.reach, Reach::Everywhere);
        assert_eq!(changed.user, app.user(one.user).await.unwrap());
        assert_over(&app, &one).await;
        assert_over(&app, &other).await;
    }
    assert_eq!(
        code(app.login("dave", &password_of("dave")).await),
        "invalid_credentials"
    );
    app.login("dave", NEW).await.unwrap();
    assert_alive(&app, &bob).await;
}

async fn a_role_change_makes_tokens_anew_and_ends_no_session(store: AnyStore) {
    let app = app(store).await;
    let mut tokens = app.register("alice").await.unwrap();
    for (change, is_admin) in [(Change::GrantAdmin, true), (Change::TakeAdmin, false)] {
        app.change(tokens.user, change).await.unwrap();
        assert_eq!(
            app.validate(&tokens.access_token).await,
            Err(TokenRefused::Revoked)
        );
        tokens = app.refresh(&tokens.refresh_token).await.unwrap();
        app.validate(&tokens.access_token).await.unwrap();
        assert_eq!(access(&app, &tokens).is_admin, is_admin);
    }
}

async fn what_is_set_already_changes_nothing(store: AnyStore) {
    let app = app(store).await;
    let id = app.register("alice").await.unwrap().user;
    app.change(id, Change::GrantAdmin).await.unwrap();
    let tokens = app.login("alice", &password_of("alice")).await.unwrap();
    let before = app.user(id).await.unwrap();
    for change in [Change::Enable, Change::GrantAdmin] {
        let changed = app.change(id, change).await.unwrap();
        assert_eq!(
            (changed.user, changed.reach),
            (before.clone(), Reach::Everywhere)
        );
    }
    assert_alive(&app, &tokens).await;

    // Who runs a command again because its answer was lost gets what it promises.
    app.change(id, Change::Disable).await.unwrap();
    let disabled = app.user(id).await.unwrap();
    let entries = app.sso.revocations.entries();
    assert_eq!(
        app.change(id, Change::Disable).await.unwrap().user,
        disabled
    );
    // By an entry of its own: whoever has not heard of the first is waited for.
    assert_eq!(app.sso.revocations.entries(), entries + 1);
    assert_over(&app, &tokens).await;
}

async fn a_weak_password_is_refused_from_the_operator_too(store: AnyStore) {
    let app = app(store).await;
    let tokens = app.register("alice").await.unwrap();
    for weak in ["short", "password1", &email_of("alice")] {
        assert_eq!(
            code(app.set_password(tokens.user, weak).await),
            "weak_password"
        );
    }
    let none = administer::set_password(&app.sso, &Caller::operator(), tokens.user, None).await;
    assert_eq!(code(none.map_err(Failure::from)), "required");
    assert_alive(&app, &tokens).await;
}

async fn users_are_found_by_address_and_id_and_listed_in_pages(store: AnyStore) {
    let app = app(store).await;
    let operator = Caller::operator();
    let alice = app.register("alice").await.unwrap().user;
    let bob = app.register("bob").await.unwrap().user;
    let user = app.user(alice).await.unwrap();
    for name in ["Alice@Example.com", &alice.to_string()] {
        assert_eq!(
            administer::find(&app.sso, &operator, name).await.unwrap(),
            user
        );
    }
    let bad = administer::find(&app.sso, &operator, "alice").await;
    assert_eq!(code(bad.map_err(Failure::from)), "invalid_request");

    let mut found = Vec::new();
    let mut after = None;
    loop {
        let page = UserPage { after, limit: 1 };
        let listed = administer::list(&app.sso, &operator, page).await.unwrap();
        let Some(user) = listed.first() else { break };
        after = Some(user.id);
        found.push(user.id);
    }
    let mut expected = [alice, bob];
    expected.sort();
    assert_eq!(found, expected);
}

async fn an_unknown_user_is_not_found(store: AnyStore) {
    let app = app(store).await;
    let unknown = UserId::from_uuid(Uuid::from_u128(1));
    let codes = everything(&app, &Caller::operator(), unknown).await;
    assert_eq!(codes, HashSet::from(["not_found"]));
    assert_eq!(app.sso.revocations.entries(), 0);
}
