use serde_json::json;
use sso_http::{Dependency, DependencyState, HealthReport, ServiceState};
use time::macros::datetime;

use crate::harness::App;

fn away() -> Dependency {
    Dependency {
        name: "database".into(),
        state: DependencyState::Down,
        since: datetime!(2026-01-01 00:00:05 UTC),
        detail: Some("does not answer".to_owned()),
        cause: Some("connection refused at 10.0.0.5".to_owned()),
    }
}

#[tokio::test]
async fn alive_touches_nothing() {
    let app = App::new().await;
    let reply = app.get("/auth/healthz").await;
    assert_eq!(
        (reply.status.as_u16(), reply.json()),
        (200, json!({"status": "Success"}))
    );
}

#[tokio::test]
async fn ready_is_a_table_of_states() {
    let app = App::new().await;
    for (state, can_validate, status) in [
        (ServiceState::Ready, true, 200),
        (ServiceState::Degraded, true, 200),
        (ServiceState::Degraded, false, 503),
        (ServiceState::Starting, true, 503),
        (ServiceState::Draining, true, 503),
    ] {
        let report = HealthReport {
            state,
            can_validate,
            dependencies: Vec::new(),
        };
        *app.health.0.lock().unwrap() = report;
        let reply = app.get("/auth/ready").await;
        assert_eq!(reply.status, status, "{state:?}");
        if status == 503 {
            reply.is_error(503, "unavailable");
        }
    }
}

#[tokio::test]
async fn ready_names_dependencies_and_keeps_causes_to_the_operator() {
    let app = App::new().await;
    app.health.0.lock().unwrap().dependencies = vec![away()];
    app.health.0.lock().unwrap().state = ServiceState::Degraded;
    let expected = json!({
        "status": "Success", "state": "degraded",
        "dependencies": [{
            "name": "database", "state": "down", "since": "2026-01-01T00:00:05.000000Z",
            "detail": "does not answer",
        }],
    });
    assert_eq!(app.get("/auth/ready").await.json(), expected);
}

#[tokio::test]
async fn the_public_keys_may_be_kept_as_long_as_rotation_waits() {
    let app = App::new().await;
    let reply = app.get("/.well-known/jwks.json").await;
    assert_eq!(reply.header("cache-control"), Some("public, max-age=300"));
    assert_eq!(reply.header("content-type"), Some("application/json"));
    let key = &reply.json()["keys"][0];
    assert_eq!(
        (&key["kty"], &key["crv"]),
        (&json!("OKP"), &json!("Ed25519"))
    );
    assert_eq!((&key["alg"], &key["use"]), (&json!("EdDSA"), &json!("sig")));
    assert!(key.get("d").is_none(), "the private part");
}
