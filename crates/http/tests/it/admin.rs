use std::sync::{Arc, Mutex};

use axum::{Router, body::Body, http::Request};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use sso_http::{AdminState, Dependency, DependencyState, LogLevel, Rendered};
use sso_testkit::clock::ManualClock;
use time::macros::datetime;
use tower::ServiceExt;

use crate::harness::Reported;

#[derive(Default)]
struct Level(Mutex<String>);

impl LogLevel for Level {
    fn get(&self) -> String {
        self.0.lock().unwrap().clone()
    }

    fn set(&self, filter: &str, _: sso_core::Origin) -> Result<(), String> {
        if filter == "nonsense" {
            return Err("unknown level".to_owned());
        }
        filter.clone_into(&mut self.0.lock().unwrap());
        Ok(())
    }
}

fn router(health: Arc<Reported>) -> Router {
    sso_http::admin_router(AdminState {
        health,
        metrics: Arc::new(|_| Rendered {
            content_type: "text/plain",
            text: "sso_up 1\n".to_owned(),
        }),
        log_level: Arc::new(Level::default()),
        new_request_id: Arc::new(|| "request-1".to_owned()),
        clock: Arc::new(ManualClock::new()),
        loopback_only: true,
    })
}

async fn send(router: &Router, method: &str, path: &str, body: &str) -> (u16, Vec<u8>) {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "127.0.0.1:9464");
    let request = request.body(Body::from(body.to_owned())).unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    (
        status,
        response
            .into_body()
            .collect()
            .await
            .unwrap()
            .to_bytes()
            .to_vec(),
    )
}

fn parsed((status, body): (u16, Vec<u8>)) -> (u16, Value) {
    (status, serde_json::from_slice(&body).unwrap())
}

#[tokio::test]
async fn the_log_level_is_read_and_changed_and_nonsense_refused() {
    let router = router(Arc::default());
    let set = parsed(send(&router, "PUT", "/log-level", r#"{"level":"debug"}"#).await);
    assert_eq!(set, (200, json!({"status": "Success", "level": "debug"})));
    let bad = parsed(send(&router, "PUT", "/log-level", r#"{"level":"nonsense"}"#).await);
    assert_eq!(
        (bad.0, &bad.1["code"], &bad.1["error"]),
        (400, &json!("invalid_level"), &json!("unknown level"))
    );
    let missing = parsed(send(&router, "PUT", "/log-level", "{}").await);
    assert_eq!((missing.0, &missing.1["code"]), (400, &json!("required")));
    let get = parsed(send(&router, "GET", "/log-level", "").await);
    assert_eq!(get, (200, json!({"status": "Success", "level": "debug"})));
}

#[tokio::test]
async fn a_profile_tells_which_threads_were_busy() {
    let router = router(Arc::default());
    let (status, profile) = parsed(send(&router, "GET", "/profile?seconds=1", "").await);
    assert_eq!((status, &profile["seconds"]), (200, &json!(1)), "{profile}");
    // This test's own thread went to sleep, and woke.
    let threads = profile["threads"].as_array().unwrap();
    assert!(
        threads
            .iter()
            .any(|thread| thread["turns"].as_u64() > Some(0)),
        "{profile}"
    );
    for bad in ["0", "9", "-1", "", "a"] {
        let path = format!("/profile?seconds={bad}");
        let (status, refused) = parsed(send(&router, "GET", &path, "").await);
        let seen = (status, &refused["fields"][0]["field"]);
        assert_eq!(seen, (400, &json!("seconds")), "{bad}: {refused}");
    }
}

#[tokio::test]
async fn the_operator_reads_metrics_and_the_causes_of_what_is_wrong() {
    let health = Arc::new(Reported::default());
    health.0.lock().unwrap().dependencies = vec![Dependency {
        name: "database".into(),
        state: DependencyState::Down,
        since: datetime!(2026-01-01 00:00 UTC),
        detail: None,
        cause: Some("connection refused".to_owned()),
    }];
    let router = router(health);
    assert_eq!(
        send(&router, "GET", "/metrics", "").await,
        (200, b"sso_up 1\n".to_vec())
    );
    let ready = parsed(send(&router, "GET", "/auth/ready", "").await).1;
    assert_eq!(ready["dependencies"][0]["cause"], "connection refused");
    assert_eq!(send(&router, "GET", "/auth/healthz", "").await.0, 200);
    let none = parsed(send(&router, "GET", "/auth/login", "").await);
    assert_eq!((none.0, &none.1["code"]), (404, &json!("not_found")));
}

#[tokio::test]
async fn a_web_page_cannot_reach_it_by_another_name() {
    let request = Request::builder()
        .uri("/metrics")
        .header("host", "rebind.example:9464");
    let response = router(Arc::default())
        .oneshot(request.body(Body::empty()).unwrap())
        .await
        .unwrap();
    assert_eq!(response.status(), 421);
}
