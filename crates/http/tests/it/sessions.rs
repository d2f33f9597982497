use std::time::Duration;

use axum::body::Body;
use serde_json::{Value, json};

use crate::harness::{App, User, email_of, password_of, request};

async fn login_with_agent<'a>(app: &'a App, name: &str, agent: &str) -> User<'a> {
    let body = json!({"email": email_of(name), "password": password_of(name)}).to_string();
    let request = request("POST", "/auth/login").header("user-agent", agent);
    let reply = app.send(request.body(Body::from(body)).unwrap()).await;
    User::of(app, &reply)
}

fn ids(list: &Value) -> Vec<String> {
    let sessions = list["sessions"].as_array().unwrap();
    let id = |session: &Value| session["id"].as_str().unwrap().to_owned();
    sessions.iter().map(id).collect()
}

#[tokio::test]
async fn sessions_are_listed_newest_first_with_where_they_came_from() {
    let app = App::new().await;
    let first = app.user("ada").await;
    app.clock.advance(Duration::from_secs(1));
    let second = login_with_agent(&app, "ada", "Browser/1.0").await;
    app.clock.advance(Duration::from_secs(1));
    let first = User::of(&app, &first.refreshed().await);
    let list = first.get("/auth/sessions").await;
    assert_eq!(list.header("cache-control"), Some("no-store"));
    let list = list.json();
    let ids = ids(&list);
    let expected = json!({"status": "Success", "sessions": [
        {
            "id": ids[0], "created_at": "2026-01-01T00:00:01.000000Z",
            "last_used_at": "2026-01-01T00:00:01.000000Z",
            "address": "192.0.2.7", "agent": "Browser/1.0", "current": false,
        },
        {
            "id": ids[1], "created_at": "2026-01-01T00:00:00.000000Z",
            "last_used_at": "2026-01-01T00:00:02.000000Z",
            "address": "192.0.2.7", "agent": null, "current": true,
        },
    ]});
    assert_eq!(list, expected);
    let list = second.get("/auth/sessions").await.json();
    assert_eq!(list["sessions"][0]["current"], true);
}

#[tokio::test]
async fn a_session_is_ended_by_its_id_with_its_tokens() {
    let app = App::new().await;
    let ada = app.user("ada").await;
    app.clock.advance(Duration::from_secs(1));
    let other = app.login("ada").await;
    let list = ids(&ada.get("/auth/sessions").await.json());
    let reply = ada.delete(&format!("/auth/sessions/{}", list[0])).await;
    assert_eq!(reply.json(), json!({"status": "Success"}));
    assert_eq!(reply.header("x-revocation"), Some("everywhere"));
    other.get("/auth/info").await.is_error(401, "token_revoked");
    other.refreshed().await.is_error(401, "token_revoked");
    assert_eq!(ids(&ada.get("/auth/sessions").await.json()), list[1..]);
}

#[tokio::test]
async fn ending_the_current_session_is_a_logout() {
    let app = App::new().await;
    let ada = app.user("ada").await;
    let list = ids(&ada.get("/auth/sessions").await.json());
    let reply = ada.delete(&format!("/auth/sessions/{}", list[0])).await;
    assert_eq!(reply.status, 200);
    ada.get("/auth/info").await.is_error(401, "token_revoked");
}

#[tokio::test]
async fn foreign_unknown_ended_and_malformed_ids_are_not_found_alike() {
    let app = App::new().await;
    let (ada, bob) = (app.user("ada").await, app.user("bob").await);
    let ended = app.login("ada").await;
    let mine = ids(&ended.get("/auth/sessions").await.json());
    ended.logged_out(&ended.access, false).await;
    let left = ids(&ada.get("/auth/sessions").await.json());
    let gone = mine.iter().find(|id| !left.contains(id)).unwrap();
    let foreign = ids(&bob.get("/auth/sessions").await.json()).remove(0);
    let unknown = "0197f2a4-8a3b-7c1e-9f60-2d7f3f1c5b11";
    for id in [
        gone,
        &foreign,
        unknown,
        "x",
        "%ff",
        "%00",
        &"9".repeat(5000),
        "..%2f..",
    ] {
        let request = ada.request("DELETE", &format!("/auth/sessions/{id}"));
        let request = request.header("x-request-id", "the-same-id");
        let reply = app.send(request.body(Body::empty()).unwrap()).await;
        let expected = json!({
            "status": "Error", "code": "not_found", "error": "no such session",
            "request_id": "the-same-id",
        });
        assert_eq!(
            (reply.status.as_u16(), reply.json()),
            (404, expected),
            "{id}"
        );
    }
    assert_eq!(bob.get("/auth/info").await.status, 200);
}
