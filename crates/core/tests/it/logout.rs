//! Logout: any token of ours will do, and doing it again does no harm.

use std::time::Duration;

use sso_core::{
    ports::{
        TokenRefused, Tokens,
        store::{Freshness, Reach, Swept},
    },
    usecases::{
        administer::Change,
        janitor::{Ages, SESSIONS_KEPT, sweep},
    },
    values::SessionId,
};
use sso_testkit::app::password_of;
use uuid::Uuid;

use crate::support::{
    AnyStore, access, app, app_with, assert_alive, assert_over, code, on_every_store, refreshing,
};

on_every_store! {
    either_token_ends_both
    a_token_of_any_generation_ends_the_session
    an_expired_token_ends_nothing_and_is_taken
    logging_out_again_is_taken
    everywhere_ends_every_session_of_the_user_and_of_nobody_else
    a_token_that_went_with_all_ends_nothing_that_came_later
    all_is_ended_by_a_token_of_a_session_that_a_failover_lost
    a_token_of_a_session_that_was_swept_ends_nothing
    what_somebody_else_ended_is_obeyed_by_who_ends_all_again
    a_session_that_was_not_used_for_long_has_tokens_that_end_all_the_same
    a_forged_token_is_refused
    a_session_that_the_store_does_not_know_is_ended_all_the_same
    a_session_of_somebody_else_is_not_ended
    a_session_that_somebody_else_ended_is_obeyed_at_once
}

async fn either_token_ends_both(store: AnyStore) {
    let app = app(store).await;
    let kept = app.register("alice").await.unwrap();
    for by_access in [true, false] {
        let tokens = app.login("alice", &password_of("alice")).await.unwrap();
        let token = if by_access {
            &tokens.access_token
        } else {
            &tokens.refresh_token
        };
        assert_eq!(app.logout(token, false).await.unwrap(), Reach::Everywhere);
        assert_over(&app, &tokens).await;
    }
    assert_alive(&app, &kept).await;
}

async fn a_token_of_any_generation_ends_the_session(store: AnyStore) {
    let app = app(store).await;
    let first = app.register("alice").await.unwrap();
    let second = app.refresh(&first.refresh_token).await.unwrap();
    let third = app.refresh(&second.refresh_token).await.unwrap();
    app.logout(&first.refresh_token, false).await.unwrap();
    assert_over(&app, &third).await;
}

async fn an_expired_token_ends_nothing_and_is_taken(store: AnyStore) {
    let app = app(store).await;
    let tokens = app.register("alice").await.unwrap();
    app.advance(Duration::from_hours(24 * 11)).await.unwrap();
    for token in [&tokens.access_token, &tokens.refresh_token] {
        assert_eq!(app.logout(token, false).await.unwrap(), Reach::Everywhere);
    }
}

async fn logging_out_again_is_taken(store: AnyStore) {
    let app = app(store).await;
    let tokens = app.register("alice").await.unwrap();
    let (_, mut watching) = app.sso.revocations.subscribe();
    for token in [
        &tokens.access_token,
        &tokens.refresh_token,
        &tokens.access_token,
    ] {
        assert_eq!(app.logout(token, false).await.unwrap(), Reach::Everywhere);
    }
    assert_eq!(app.sso.revocations.entries(), 1);
    assert_eq!(watching.take().unwrap().len(), 1);
}

async fn everywhere_ends_every_session_of_the_user_and_of_nobody_else(store: AnyStore) {
    let app = app(store).await;
    let one = app.register("alice").await.unwrap();
    let other = app.login("alice", &password_of("alice")).await.unwrap();
    let bob = app.register("bob").await.unwrap();
    app.logout(&one.refresh_token, true).await.unwrap();
    assert_over(&app, &one).await;
    assert_over(&app, &other).await;
    assert_alive(&app, &bob).await;
    let row = app.sso.store.user(one.user, Freshness::Primary).await;
    let (version, entries) = (row.unwrap().unwrap().version, app.sso.revocations.entries());
    // Again and again, by whoever holds a token that is over: nothing is left to end, and nothing is written.
    for token in [&one.refresh_token, &one.access_token, &other.access_token] {
        assert_eq!(app.logout(token, true).await.unwrap(), Reach::Everywhere);
    }
    let row = app.sso.store.user(one.user, Freshness::Primary).await;
    assert_eq!(row.unwrap().unwrap().version, version);
    assert!(app.sso.revocations.entries() <= entries + 2);
    // Nor does it end what is opened later.
    let next = app.login("alice", &password_of("alice")).await.unwrap();
    app.logout(&one.refresh_token, true).await.unwrap();
    assert_alive(&app, &next).await;
}

/// The owner has changed his password: who stole a token before has nothing left to do with it.
async fn a_token_that_went_with_all_ends_nothing_that_came_later(store: AnyStore) {
    let app = app(store).await;
    let stolen = app.register("alice").await.unwrap();
    let user = stolen.user;
    app.change(user, Change::EndSessions).await.unwrap();
    let next = app.login("alice", &password_of("alice")).await.unwrap();
    for token in [&stolen.refresh_token, &stolen.access_token] {
        let reach = app.logout(token, true).await.unwrap();
        assert_eq!(reach, Reach::Everywhere);
    }
    assert_alive(&app, &next).await;
}

/// He had ended all before, and the store knows nothing else of his: what it does not know is good for everybody
/// who is not told.
async fn all_is_ended_by_a_token_of_a_session_that_a_failover_lost(store: AnyStore) {
    let app = app(store).await;
    let before = app.register("alice").await.unwrap();
    app.change(before.user, Change::EndSessions).await.unwrap();
    let tokens = app.login("alice", &password_of("alice")).await.unwrap();
    let mut claims = access(&app, &tokens);
    app.logout(&tokens.refresh_token, false).await.unwrap();
    let mut lost = |number| {
        claims.session = SessionId::from_uuid(Uuid::from_u128(number));
        app.tokens.sign_access(&claims).unwrap()
    };
    let (one, other) = (lost(1), lost(2));
    // What has expired ends nothing, and hides nothing from who asks by a good one.
    claims.expires_at = claims.issued_at - Duration::from_hours(1);
    claims.session = SessionId::from_uuid(Uuid::from_u128(1));
    let expired = app.tokens.sign_access(&claims).unwrap();
    app.logout(&expired, true).await.unwrap();
    app.validate(&one).await.unwrap();
    let (_, mut watching) = app.sso.revocations.subscribe();
    for _ in 0..2 {
        app.logout(&one, true).await.unwrap();
        assert_eq!(app.validate(&one).await, Err(TokenRefused::Revoked));
        assert_eq!(app.validate(&other).await, Err(TokenRefused::Revoked));
    }
    // The others are told of both, once.
    let told = watching.take().unwrap();
    assert_eq!(told.iter().filter(|entry| entry.id != 0).count(), 2);
}

/// Ended by itself it still ends the others, but not when its row was swept: the thief of a token
/// could go on for as long as that lives.
async fn a_token_of_a_session_that_was_swept_ends_nothing(store: AnyStore) {
    let app = app(store).await;
    let old = app.register("alice").await.unwrap();
    let other = app.login("alice", &password_of("alice")).await.unwrap();
    app.logout(&old.refresh_token, false).await.unwrap();
    app.logout(&old.refresh_token, true).await.unwrap();
    assert_over(&app, &other).await;
    app.advance(SESSIONS_KEPT + Duration::from_mins(1))
        .await
        .unwrap();
    let ages = Ages {
        events: SESSIONS_KEPT,
        audit: SESSIONS_KEPT,
        batch: 1_000,
    };
    sweep(&app.sso, Swept::Sessions, &ages).await.unwrap();
    let session = refreshing(&app, &old).session;
    assert_eq!(app.sso.store.session(session).await.unwrap(), None);
    let next = app.login("alice", &password_of("alice")).await.unwrap();
    let row = || app.sso.store.user(old.user, Freshness::Primary);
    let version = row().await.unwrap().unwrap().version;
    for _ in 0..3 {
        app.logout(&old.refresh_token, true).await.unwrap();
    }
    assert_eq!(row().await.unwrap().unwrap().version, version);
    assert_alive(&app, &next).await;
}

/// Another process ended all, and its entries have not come yet.
async fn what_somebody_else_ended_is_obeyed_by_who_ends_all_again(store: AnyStore) {
    let app = app(store).await;
    let one = app.register("alice").await.unwrap();
    let other = app.login("alice", &password_of("alice")).await.unwrap();
    let mut tx = app.sso.store.begin().await.unwrap();
    tx.end_user_sessions(one.user).await.unwrap();
    tx.commit().await.unwrap();
    app.validate(&other.access_token).await.unwrap();
    app.logout(&one.access_token, true).await.unwrap();
    assert_over(&app, &one).await;
    assert_over(&app, &other).await;
}

/// It cannot be refreshed any more; its access token lives longer than that.
async fn a_session_that_was_not_used_for_long_has_tokens_that_end_all_the_same(store: AnyStore) {
    let app = app_with(store, |policy| {
        policy.session_idle_ttl = Some(Duration::from_mins(5));
    })
    .await;
    let before = app.register("alice").await.unwrap();
    app.logout(&before.access_token, true).await.unwrap();
    let idle = app.login("alice", &password_of("alice")).await.unwrap();
    app.advance(Duration::from_mins(6)).await.unwrap();
    app.validate(&idle.access_token).await.unwrap();
    app.logout(&idle.access_token, true).await.unwrap();
    let refused = app.validate(&idle.access_token).await;
    assert_eq!(refused, Err(TokenRefused::Revoked));
}

async fn a_forged_token_is_refused(store: AnyStore) {
    let app = app(store).await;
    let tokens = app.register("alice").await.unwrap();
    let (signed, signature) = tokens.access_token.rsplit_once('.').unwrap();
    let mut flipped = signature.to_owned();
    flipped.replace_range(..1, if signature.starts_with('A') { "B" } else { "A" });
    for forged in ["x", &format!("{signed}.{flipped}"), &format!("{signed}.")] {
        for everywhere in [true, false] {
            assert_eq!(code(app.logout(forged, everywhere).await), "invalid_token");
        }
    }
    assert_alive(&app, &tokens).await;
}

/// A failover lost it, its user was deleted a moment ago, or it was opened on a primary that this
/// instance has not met: its tokens are over here at once, and for the others when they hear of it.
async fn a_session_that_the_store_does_not_know_is_ended_all_the_same(store: AnyStore) {
    let app = app(store).await;
    let tokens = app.register("alice").await.unwrap();
    let mut claims = access(&app, &tokens);
    claims.session = SessionId::from_uuid(Uuid::from_u128(1));
    let unknown = app.tokens.sign_access(&claims).unwrap();
    app.validate(&unknown).await.unwrap();
    for _ in 0..2 {
        let reach = app.logout(&unknown, false).await.unwrap();
        assert_eq!(reach, Reach::Everywhere);
        assert_eq!(app.validate(&unknown).await, Err(TokenRefused::Revoked));
    }
    assert_eq!(app.sso.revocations.entries(), 1);
    assert_alive(&app, &tokens).await;
    app.logout(&unknown, true).await.unwrap();
    assert_over(&app, &tokens).await;
}

async fn a_session_of_somebody_else_is_not_ended(store: AnyStore) {
    let app = app(store).await;
    let tokens = app.register("alice").await.unwrap();
    let bob = app.register("bob").await.unwrap();
    let mut claims = refreshing(&app, &tokens);
    claims.session = access(&app, &bob).session;
    let mixed = app.tokens.sign_refresh(&claims).unwrap();
    for everywhere in [true, false] {
        assert_eq!(
            app.logout(&mixed, everywhere).await.unwrap(),
            Reach::Everywhere
        );
    }
    assert_alive(&app, &tokens).await;
    assert_alive(&app, &bob).await;
    app.change(tokens.user, Change::EndSessions).await.unwrap();
}

async fn a_session_that_somebody_else_ended_is_obeyed_at_once(store: AnyStore) {
    let app = app(store).await;
    let tokens = app.register("alice").await.unwrap();
    let session = access(&app, &tokens).session;
    let mut tx = app.sso.store.begin().await.unwrap();
    tx.end_session(session, None, app.sso.clock.now())
        .await
        .unwrap();
    tx.commit().await.unwrap();
    app.validate(&tokens.access_token).await.unwrap();
    app.logout(&tokens.access_token, false).await.unwrap();
    assert_over(&app, &tokens).await;
}
