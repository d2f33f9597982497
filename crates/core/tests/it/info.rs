//! Who am I, and is he an administrator?

use sso_core::{
    Caller, Fields,
    ports::Tokens,
    usecases::{
        administer::Change,
        info::{self, InfoError},
        is_admin::{self, IsAdminError},
    },
    values::UserId,
};
use sso_testkit::app::anonymous;
use uuid::Uuid;

use crate::support::{AnyStore, access, app, code, on_every_store};

on_every_store! {
    a_user_sees_his_own_row
    a_token_from_a_lost_future_shows_nothing
    a_row_that_ended_the_token_is_not_shown
    only_a_user_who_may_use_it_has_the_role
}

async fn a_user_sees_his_own_row(store: AnyStore) {
    let app = app(store).await;
    let tokens = app.register("Alice").await.unwrap();
    let caller = app.caller(&tokens.access_token).await.unwrap();
    let shown = info::info(&app.sso, &caller).await.unwrap();
    assert_eq!(shown, app.user(tokens.user).await.unwrap());
    for nobody in [anonymous(), Caller::operator()] {
        let refused = info::info(&app.sso, &nobody).await;
        assert!(matches!(refused, Err(InfoError::NotAllowed(_))));
    }
}

async fn a_token_from_a_lost_future_shows_nothing(store: AnyStore) {
    let app = app(store).await;
    let tokens = app.register("alice").await.unwrap();
    let mut claims = access(&app, &tokens);
    claims.version = claims.version.next(0);
    let caller = app
        .caller(&app.tokens.sign_access(&claims).unwrap())
        .await
        .unwrap();
    let refused = info::info(&app.sso, &caller).await.map_err(Into::into);
    assert_eq!(code(refused), "token_revoked");
}

async fn a_row_that_ended_the_token_is_not_shown(store: AnyStore) {
    let app = app(store).await;
    let tokens = app.register("alice").await.unwrap();
    let caller = app.caller(&tokens.access_token).await.unwrap();
    // Committed, and its entry not here yet.
    let mut tx = app.sso.store.begin().await.unwrap();
    tx.end_user_sessions(tokens.user).await.unwrap();
    tx.commit().await.unwrap();
    let refused = info::info(&app.sso, &caller).await.map_err(Into::into);
    assert_eq!(code(refused), "token_revoked");
}

async fn only_a_user_who_may_use_it_has_the_role(store: AnyStore) {
    let app = app(store).await;
    let id = app.register("alice").await.unwrap().user;
    let is_admin = async || is_admin::is_admin(&app.sso, id).await.unwrap();
    assert!(!is_admin().await);
    app.change(id, Change::GrantAdmin).await.unwrap();
    assert!(is_admin().await);
    app.change(id, Change::Disable).await.unwrap();
    assert!(!is_admin().await);
    app.change(id, Change::Enable).await.unwrap();
    assert!(is_admin().await);
    app.change(id, Change::TakeAdmin).await.unwrap();
    assert!(!is_admin().await);

    let unknown = is_admin::is_admin(&app.sso, UserId::from_uuid(Uuid::from_u128(1))).await;
    assert!(matches!(unknown, Err(IsAdminError::NotFound)));
    assert_eq!(
        is_admin::parse(Some("x"), Fields::default()).unwrap_err().0[0].code,
        "invalid_id"
    );
    assert_eq!(
        is_admin::parse(Some(""), Fields::default()).unwrap_err().0[0].code,
        "required"
    );
}
