//! One rotation for each refresh token, and the same answer to all who ask within the grace.

use std::{collections::HashSet, time::Duration};

use sso_core::{CLOCK_LEEWAY, ports::Tokens, usecases::administer::Change};
use sso_testkit::app::App;

use crate::support::{
    AnyStore, SECOND, TICK, access, app, assert_alive, at_once, code, on_every_store, refreshing,
};

on_every_store! {
    of_fifty_refreshes_of_one_token_one_rotates_and_all_get_the_same
    a_lost_answer_comes_again_to_the_last_moment_of_the_grace
    a_reused_token_ends_its_session_after_the_grace
    an_older_token_is_refused_without_harm_within_the_grace
    a_generation_from_the_future_moves_the_session_up_to_it
    a_session_ends_at_its_end_and_never_later
    no_access_token_outlives_its_session
    a_disabled_users_token_is_refused
    other_tokens_are_no_refresh_tokens
}

const GRACE: Duration = Duration::from_secs(30);
const DAY: Duration = Duration::from_hours(24);

async fn generation(app: &App, token: &sso_core::usecases::SignedIn) -> u64 {
    let id = refreshing(app, token).session;
    app.sso.store.session(id).await.unwrap().unwrap().generation
}

async fn of_fifty_refreshes_of_one_token_one_rotates_and_all_get_the_same(store: AnyStore) {
    let app = app(store).await;
    let first = app.register("alice").await.unwrap();
    let results = at_once(50, |_| {
        let (app, token) = (app.clone(), first.refresh_token.clone());
        async move { app.refresh(&token).await.unwrap() }
    })
    .await;
    let tokens: HashSet<_> = results.iter().map(|tokens| &tokens.refresh_token).collect();
    assert_eq!(tokens.len(), 1);
    assert_eq!(generation(&app, &first).await, 1);
    for tokens in &results {
        app.validate(&tokens.access_token).await.unwrap();
    }
    // The earlier access token lives to its end.
    app.validate(&first.access_token).await.unwrap();
    assert_alive(&app, &results[0]).await;
}

async fn a_lost_answer_comes_again_to_the_last_moment_of_the_grace(store: AnyStore) {
    let app = app(store).await;
    let first = app.register("alice").await.unwrap();
    app.clock.advance(SECOND + TICK);
    let lost = app.refresh(&first.refresh_token).await.unwrap();
    app.clock.advance(GRACE);
    let again = app.refresh(&first.refresh_token).await.unwrap();
    assert_eq!(again.refresh_token, lost.refresh_token);
    app.clock.advance(TICK);
    assert_eq!(
        code(app.refresh(&first.refresh_token).await),
        "token_revoked"
    );
    assert_eq!(
        code(app.refresh(&lost.refresh_token).await),
        "token_revoked"
    );
}

async fn a_reused_token_ends_its_session_after_the_grace(store: AnyStore) {
    let app = app(store).await;
    let first = app.register("alice").await.unwrap();
    let other = app.register("bob").await.unwrap();
    let second = app.refresh(&first.refresh_token).await.unwrap();
    app.advance(GRACE + TICK).await.unwrap();
    app.validate(&second.access_token).await.unwrap();

    assert_eq!(
        code(app.refresh(&first.refresh_token).await),
        "token_revoked"
    );
    for over in [&first, &second] {
        app.validate(&over.access_token).await.unwrap_err();
    }
    assert_eq!(
        code(app.refresh(&second.refresh_token).await),
        "token_revoked"
    );
    assert_alive(&app, &other).await;
}

async fn an_older_token_is_refused_without_harm_within_the_grace(store: AnyStore) {
    let app = app(store).await;
    let first = app.register("alice").await.unwrap();
    let second = app.refresh(&first.refresh_token).await.unwrap();
    let third = app.refresh(&second.refresh_token).await.unwrap();
    assert_eq!(
        code(app.refresh(&first.refresh_token).await),
        "token_revoked"
    );
    app.clock.advance(GRACE);
    assert_eq!(
        code(app.refresh(&first.refresh_token).await),
        "token_revoked"
    );
    app.sso.revocations.beat().await.unwrap();
    assert_alive(&app, &third).await;
}

async fn a_generation_from_the_future_moves_the_session_up_to_it(store: AnyStore) {
    let app = app(store).await;
    let first = app.register("alice").await.unwrap();
    let mut claims = refreshing(&app, &first);
    claims.generation = 5;
    let future = app.tokens.sign_refresh(&claims).unwrap();
    let tokens = app.refresh(&future).await.unwrap();
    assert_eq!(refreshing(&app, &tokens).generation, 6);
    assert_eq!(generation(&app, &first).await, 6);
    assert_alive(&app, &tokens).await;
}

async fn a_session_ends_at_its_end_and_never_later(store: AnyStore) {
    let app = app(store).await;
    let mut tokens = app.register("alice").await.unwrap();
    let end = refreshing(&app, &tokens).expires_at;
    assert_eq!(end, app.sso.clock.now() + app.sso.policy.refresh_ttl);
    for _ in 0..9 {
        app.advance(DAY).await.unwrap();
        tokens = app.refresh(&tokens.refresh_token).await.unwrap();
        assert_eq!(refreshing(&app, &tokens).expires_at, end);
    }
    app.clock.advance(DAY);
    // Leeway is for clocks that differ. The session is ours.
    assert_eq!(
        code(app.refresh(&tokens.refresh_token).await),
        "token_expired"
    );
    app.clock.advance(CLOCK_LEEWAY);
    assert_eq!(
        code(app.refresh(&tokens.refresh_token).await),
        "token_expired"
    );
}

async fn no_access_token_outlives_its_session(store: AnyStore) {
    let app = app(store).await;
    let first = app.register("alice").await.unwrap();
    let end = refreshing(&app, &first).expires_at;
    app.clock.advance(10 * DAY - app.sso.policy.access_ttl);
    let tokens = app.refresh(&first.refresh_token).await.unwrap();
    assert_eq!(access(&app, &tokens).expires_at, end);
    app.clock.advance(60 * SECOND);
    let tokens = app.refresh(&tokens.refresh_token).await.unwrap();
    assert_eq!(access(&app, &tokens).expires_at, end);
}

async fn a_disabled_users_token_is_refused(store: AnyStore) {
    let app = app(store).await;
    let tokens = app.register("alice").await.unwrap();
    app.change(tokens.user, Change::Disable).await.unwrap();
    assert_eq!(
        code(app.refresh(&tokens.refresh_token).await),
        "token_revoked"
    );
    app.change(tokens.user, Change::Enable).await.unwrap();
    assert_eq!(
        code(app.refresh(&tokens.refresh_token).await),
        "token_revoked"
    );
}

async fn other_tokens_are_no_refresh_tokens(store: AnyStore) {
    let app = app(store).await;
    let tokens = app.register("alice").await.unwrap();
    assert_eq!(code(app.refresh("x").await), "invalid_token");
    assert_eq!(code(app.refresh("").await), "required");
    assert_eq!(
        code(app.refresh(&tokens.access_token).await),
        "wrong_token_type"
    );
}
