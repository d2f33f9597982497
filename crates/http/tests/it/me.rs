use std::time::Duration;

use serde_json::json;

use crate::harness::{App, User, password_of};

#[tokio::test]
async fn info_shows_the_user_as_he_typed_himself() {
    let app = App::new().await;
    let ada = app.user("ADA").await;
    let reply = ada.get("/auth/info").await;
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    let expected = json!({
        "status": "Success", "user_id": ada.id, "email": "ADA@example.com",
        "email_verified": false, "name": null, "birthday": null, "is_admin": false,
        "created_at": "2026-01-01T00:00:00.000000Z",
    });
    assert_eq!(reply.json(), expected);
}

#[tokio::test]
async fn an_expired_access_token_is_told_so() {
    let app = App::new().await;
    let ada = app.user("ada").await;
    // The lease of the revocations would run out with the token: only its expiry is looked at.
    app.clock.advance(Duration::from_secs(15 * 60 + 11));
    ada.get("/auth/info").await.is_error(401, "token_expired");
}

#[tokio::test]
async fn tokens_that_cannot_be_validated_are_unavailable_and_not_refused() {
    let app = App::new().await;
    let ada = app.user("ada").await;
    app.clock.advance(Duration::from_secs(11));
    ada.get("/auth/info").await.is_error(503, "unavailable");
}

#[tokio::test]
async fn a_change_of_the_password_ends_every_session_and_opens_a_new_one() {
    let app = App::new().await;
    let (ada, other) = (app.user("ada").await, app.login("ada").await);
    let body = json!({"current_password": password_of("ada"), "new_password": "another staple"});
    let reply = ada.post("/auth/password", &body).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(reply.header("x-revocation"), Some("everywhere"));
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    for session in [&ada, &other] {
        session
            .get("/auth/info")
            .await
            .is_error(401, "token_revoked");
        session.refreshed().await.is_error(401, "token_revoked");
    }
    assert_eq!(User::of(&app, &reply).get("/auth/info").await.status, 200);
    let old = json!({"email": "ada@example.com", "password": password_of("ada")});
    app.post_json("/auth/login", &old)
        .await
        .is_error(401, "invalid_credentials");
}

#[tokio::test]
async fn a_change_needs_the_current_password_and_another_new_one() {
    let app = App::new().await;
    let ada = app.user("ada").await;
    let wrong = json!({"current_password": "wrong", "new_password": "another staple"});
    let reply = ada.post("/auth/password", &wrong).await;
    reply.is_error(401, "invalid_credentials");
    assert_eq!(reply.header("www-authenticate"), Some("Bearer"));
    let same = json!({"current_password": password_of("ada"), "new_password": password_of("ada")});
    ada.post("/auth/password", &same)
        .await
        .is_error(400, "weak_password");
    let email = json!({"current_password": password_of("ada"), "new_password": "ADA@example.com"});
    ada.post("/auth/password", &email)
        .await
        .is_error(400, "weak_password");
    let reply = ada
        .post("/auth/password", &json!({"new_password": 1}))
        .await;
    reply.is_error(400, "invalid_request");
    assert_eq!(
        reply.fields(),
        ["current_password: required", "new_password: invalid_type"]
    );
    assert_eq!(ada.get("/auth/info").await.status, 200);
}
