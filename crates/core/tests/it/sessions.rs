//! A user's own sessions.

use sso_core::usecases::sessions::{self, SessionsError};
use sso_testkit::app::{anonymous, password_of};

use crate::support::{AnyStore, SECOND, access, app, assert_alive, assert_over, on_every_store};

on_every_store! {
    a_user_lists_his_live_sessions_newest_first
    an_expired_session_is_not_listed
    a_user_ends_a_session_of_his_and_no_other
    a_session_that_is_in_no_list_is_not_found
}

async fn a_user_lists_his_live_sessions_newest_first(store: AnyStore) {
    let app = app(store).await;
    let first = app.register("alice").await.unwrap();
    app.register("bob").await.unwrap();
    app.clock.advance(SECOND);
    let ended = app.login("alice", &password_of("alice")).await.unwrap();
    app.clock.advance(SECOND);
    let last = app.login("alice", &password_of("alice")).await.unwrap();
    app.logout(&ended.access_token, false).await.unwrap();

    let caller = app.caller(&first.access_token).await.unwrap();
    let listed = sessions::list(&app.sso, &caller).await.unwrap();
    let listed: Vec<_> = listed
        .iter()
        .map(|one| (one.session.id, one.current))
        .collect();
    let (first, last) = (access(&app, &first).session, access(&app, &last).session);
    assert_eq!(listed, [(last, false), (first, true)]);

    let refused = sessions::list(&app.sso, &anonymous()).await;
    assert!(matches!(refused, Err(SessionsError::NotAllowed(_))));
}

async fn an_expired_session_is_not_listed(store: AnyStore) {
    let app = app(store).await;
    app.register("alice").await.unwrap();
    app.advance(app.sso.policy.refresh_ttl).await.unwrap();
    let tokens = app.login("alice", &password_of("alice")).await.unwrap();
    let caller = app.caller(&tokens.access_token).await.unwrap();
    let listed = sessions::list(&app.sso, &caller).await.unwrap();
    let listed: Vec<_> = listed.iter().map(|one| one.session.id).collect();
    assert_eq!(listed, [access(&app, &tokens).session]);
}

/// Ended by what ended all of them, not by itself.
async fn a_session_that_is_in_no_list_is_not_found(store: AnyStore) {
    let app = app(store).await;
    let ended = app.register("alice").await.unwrap();
    app.logout(&ended.access_token, true).await.unwrap();
    let current = app.login("alice", &password_of("alice")).await.unwrap();
    let caller = app.caller(&current.access_token).await.unwrap();
    let id = access(&app, &ended).session.to_string();
    let entries = app.sso.revocations.entries();
    let refused = sessions::end(&app.sso, &caller, &id).await;
    assert!(matches!(refused, Err(SessionsError::NotFound)));
    assert_eq!(app.sso.revocations.entries(), entries);
}

async fn a_user_ends_a_session_of_his_and_no_other(store: AnyStore) {
    let app = app(store).await;
    let current = app.register("alice").await.unwrap();
    let other = app.login("alice", &password_of("alice")).await.unwrap();
    let bob = app.register("bob").await.unwrap();
    let caller = app.caller(&current.access_token).await.unwrap();
    let end = async |id: &str| sessions::end(&app.sso, &caller, id).await;

    let others = access(&app, &other).session.to_string();
    end(&others).await.unwrap();
    assert_over(&app, &other).await;
    let foreign = access(&app, &bob).session.to_string();
    let unknown = current.user.to_string();
    for none in [others.as_str(), &foreign, &unknown, "x", ""] {
        assert!(
            matches!(end(none).await, Err(SessionsError::NotFound)),
            "{none}"
        );
    }
    assert_alive(&app, &bob).await;
    end(&access(&app, &current).session.to_string())
        .await
        .unwrap();
    assert_over(&app, &current).await;
}
