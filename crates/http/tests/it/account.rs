use axum::body::Body;
use serde_json::json;

use crate::harness::{App, Options, User, request};

#[tokio::test]
async fn registration_answers_with_both_tokens_and_they_work_at_once() {
    let app = App::new().await;
    let body = json!({
        "email": "Ada@Example.com", "password": "correct horse battery",
        "name": "Ada Lovelace", "birthday": "1990-12-10", "is_admin": true,
    });
    let reply = app.post_json("/auth/registration", &body).await;
    assert_eq!(reply.status, 201);
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    let names: Vec<_> = reply.json().as_object().unwrap().keys().cloned().collect();
    assert_eq!(
        names,
        ["access_token", "refresh_token", "status", "user_id"]
    );
    assert_eq!(reply.json()["status"], "Success");

    let ada = User::of(&app, &reply);
    let info = ada.get("/auth/info").await;
    assert_eq!(info.status, 200);
    assert_eq!(info.json()["name"], "Ada Lovelace");
    assert_eq!(
        info.json()["is_admin"],
        false,
        "unknown members are never assigned"
    );
    assert_eq!(ada.refreshed().await.status, 200);
}

#[tokio::test]
async fn the_lines_of_the_first_clients_answer_without_a_content_type() {
    let mut options = Options::default();
    options.policy.passwords.min_length = 4;
    options.policy.passwords.refuse_common = false;
    let app = App::with(options).await;
    let credentials = r#"{"email":"test@mail.ru","password":"test"}"#;
    assert_eq!(
        app.post("/auth/registration", credentials).await.status,
        201
    );
    let login = app.post("/auth/login", credentials).await;
    assert_eq!(login.status, 200);
    let token = json!({"token": login.text("access_token")}).to_string();
    let logout = app.post("/auth/logout", token).await;
    assert_eq!(
        (logout.status.as_u16(), logout.json()),
        (200, json!({"status": "Success"}))
    );
}

#[tokio::test]
async fn the_second_registration_of_an_address_is_a_conflict_in_any_case_of_letters() {
    let app = App::new().await;
    app.user("ada").await;
    let body = json!({"email": "ADA@example.com", "password": "correct horse battery"});
    let reply = app.post_json("/auth/registration", &body).await;
    reply.is_error(409, "user_exists");
    assert_eq!(reply.text("error"), "user already exists");
}

#[tokio::test]
async fn registration_can_be_switched_off() {
    let mut options = Options::default();
    options.policy.registration_enabled = false;
    let app = App::with(options).await;
    let body = json!({"email": "ada@example.com", "password": "correct horse battery"});
    app.post_json("/auth/registration", &body)
        .await
        .is_error(403, "forbidden");
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_address_have_the_same_bytes() {
    let app = App::new().await;
    app.user("ada").await;
    let mut answers = Vec::new();
    for email in ["ada@example.com", "nobody@example.com"] {
        let body = json!({"email": email, "password": "not the password"}).to_string();
        let request = request("POST", "/auth/login").header("x-request-id", "the-same-id");
        let reply = app.send(request.body(Body::from(body)).unwrap()).await;
        reply.is_error(401, "invalid_credentials");
        answers.push((reply.headers, reply.body));
    }
    assert_eq!(answers[0], answers[1]);
}

#[tokio::test]
async fn refresh_rotates_and_a_lost_answer_comes_again() {
    let app = App::new().await;
    let ada = app.user("ada").await;
    let next = ada.refreshed().await;
    assert_eq!(next.status, 200);
    assert_eq!(next.text("user_id"), ada.id);
    assert_ne!(next.text("refresh_token"), ada.refresh);
    let again = ada.refreshed().await;
    assert_eq!(again.text("refresh_token"), next.text("refresh_token"));
    assert_eq!(
        ada.get("/auth/info").await.status,
        200,
        "the earlier access token lives on"
    );
}

#[tokio::test]
async fn a_refresh_token_that_comes_again_after_the_grace_ends_the_session() {
    let app = App::new().await;
    let ada = app.user("ada").await;
    let next = User::of(&app, &ada.refreshed().await);
    app.clock.advance(std::time::Duration::from_secs(31));
    ada.refreshed().await.is_error(401, "token_revoked");
    next.refreshed().await.is_error(401, "token_revoked");
}

#[tokio::test]
async fn tokens_of_the_wrong_type_are_told_so_in_both_directions() {
    let app = App::new().await;
    let ada = app.user("ada").await;
    let access = json!({"token": ada.access});
    app.post_json("/auth/refresh", &access)
        .await
        .is_error(401, "wrong_token_type");
    let mut swapped = app.login("ada").await;
    swapped.access.clone_from(&ada.refresh);
    let reply = swapped.get("/auth/info").await;
    reply.is_error(401, "wrong_token_type");
    assert_eq!(reply.header("www-authenticate"), Some("Bearer"));
}

#[tokio::test]
async fn logout_by_either_token_ends_both_and_can_be_repeated() {
    let app = App::new().await;
    app.user("ada").await;
    for by_refresh in [false, true] {
        let ada = app.login("ada").await;
        let token = if by_refresh {
            &ada.refresh
        } else {
            &ada.access
        };
        for _ in 0..2 {
            let reply = ada.logged_out(token, false).await;
            assert_eq!(reply.json(), json!({"status": "Success"}));
            assert_eq!(reply.header("x-revocation"), Some("everywhere"));
        }
        ada.get("/auth/info").await.is_error(401, "token_revoked");
        ada.refreshed().await.is_error(401, "token_revoked");
    }
}

#[tokio::test]
async fn logout_everywhere_ends_every_session_of_the_user_and_of_nobody_else() {
    let app = App::new().await;
    let (ada, bob) = (app.user("ada").await, app.user("bob").await);
    let other = app.login("ada").await;
    assert_eq!(ada.logged_out(&ada.access, true).await.status, 200);
    for session in [&ada, &other] {
        session
            .get("/auth/info")
            .await
            .is_error(401, "token_revoked");
        session.refreshed().await.is_error(401, "token_revoked");
    }
    assert_eq!(bob.get("/auth/info").await.status, 200);
}

#[tokio::test]
async fn logout_takes_an_expired_token_of_ours_and_no_forged_one() {
    let app = App::new().await;
    let ada = app.user("ada").await;
    app.clock.advance(std::time::Duration::from_hours(1));
    assert_eq!(ada.logged_out(&ada.access, false).await.status, 200);
    let forged = format!("{}x", ada.access);
    ada.logged_out(&forged, false)
        .await
        .is_error(401, "invalid_token");
}

#[tokio::test]
async fn every_bad_field_is_named_at_once() {
    let app = App::new().await;
    let body = json!({
        "email": "nonsense", "password": "short", "name": "a\u{7}", "birthday": "2000-13-01",
    });
    let reply = app.post_json("/auth/registration", &body).await;
    reply.is_error(400, "invalid_request");
    let all = [
        "email: invalid_email",
        "password: weak_password",
        "name: invalid_name",
        "birthday: invalid_birthday",
    ];
    assert_eq!(reply.fields(), all);

    let reply = app.post_json("/auth/login", &json!({})).await;
    reply.is_error(400, "invalid_request");
    assert_eq!(reply.fields(), ["email: required", "password: required"]);

    let one = app
        .post_json("/auth/login", &json!({"email": 5, "password": "x"}))
        .await;
    one.is_error(400, "invalid_type");
    assert_eq!(one.fields(), ["email: invalid_type"]);
}

#[tokio::test]
async fn absent_is_missing_null_or_empty() {
    let app = App::new().await;
    for (n, absent) in [
        json!({}),
        json!({"name": null, "birthday": null}),
        json!({"name": "", "birthday": ""}),
    ]
    .into_iter()
    .enumerate()
    {
        let mut body = absent;
        body["email"] = json!(format!("user{n}@example.com"));
        body["password"] = json!("correct horse battery");
        let reply = app.post_json("/auth/registration", &body).await;
        assert_eq!(reply.status, 201, "{reply:?}");
        let info = User::of(&app, &reply).get("/auth/info").await.json();
        assert!(
            info["name"].is_null() && info["birthday"].is_null(),
            "{info}"
        );
    }
}
