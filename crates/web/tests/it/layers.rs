use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    http::{Request, Response, StatusCode},
    response::IntoResponse,
    routing::get,
};
use sso_web::{RequestId, deadline, host, panics, request_id, shield};
use tower::ServiceExt;

async fn get_with(app: &Router, headers: &[(&'static str, &str)], path: &str) -> Response<Body> {
    let mut request = Request::builder().uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::empty()).unwrap();
    app.clone().oneshot(request).await.unwrap()
}

fn with_ids(router: Router) -> Router {
    request_id::layer(router, Arc::new(|| "made-by-us".to_owned()))
}

fn header<'a>(response: &'a Response<Body>, name: &str) -> Option<&'a str> {
    response.headers().get(name)?.to_str().ok()
}

#[tokio::test]
async fn a_decent_request_id_is_echoed_and_another_replaced() {
    let app = with_ids(Router::new());
    for (sent, answered) in [
        (&[("x-request-id", "abcd-1234")][..], "abcd-1234"),
        (&[("x-request-id", "short")][..], "made-by-us"),
        (
            &[("x-request-id", "abcd-1234"), ("x-request-id", "abcd-1234")][..],
            "made-by-us",
        ),
        (&[][..], "made-by-us"),
    ] {
        let response = get_with(&app, sent, "/").await;
        assert_eq!(
            header(&response, "x-request-id"),
            Some(answered),
            "{sent:?}"
        );
    }
}

#[tokio::test]
async fn a_panic_is_an_answer() {
    async fn broken() -> StatusCode {
        panic!("a bug");
    }
    let app = Router::new().route("/", get(broken));
    let app = panics::layer(app, |id| {
        (StatusCode::INTERNAL_SERVER_ERROR, id.0.to_string()).into_response()
    });
    let response = get_with(&with_ids(app), &[], "/").await;
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(header(&response, "x-request-id"), Some("made-by-us"));
}

#[tokio::test]
async fn who_takes_too_long_is_answered_for() {
    let app = Router::new()
        .route("/slow", get(std::future::pending::<()>))
        .route("/fast", get(async || ()));
    let app = deadline::layer(app, Duration::from_millis(200), |_: &RequestId| {
        StatusCode::GATEWAY_TIMEOUT.into_response()
    });
    assert_eq!(
        get_with(&app, &[], "/slow").await.status(),
        StatusCode::GATEWAY_TIMEOUT
    );
    assert_eq!(get_with(&app, &[], "/fast").await.status(), StatusCode::OK);
}

#[tokio::test]
async fn another_host_is_misdirected_also_where_there_is_no_route() {
    let app = Router::new().route("/", get(async || ()));
    let app = host::require_loopback(app, |_| StatusCode::MISDIRECTED_REQUEST.into_response());
    for path in ["/", "/none"] {
        let evil = get_with(&app, &[("host", "rebind.example")], path).await;
        assert_eq!(evil.status(), StatusCode::MISDIRECTED_REQUEST);
    }
    assert_eq!(
        get_with(&app, &[("host", "localhost:8000")], "/")
            .await
            .status(),
        StatusCode::OK
    );
}

#[tokio::test]
async fn no_answer_may_be_sniffed() {
    let app = shield::layer(Router::new());
    let response = get_with(&app, &[], "/none").await;
    assert_eq!(header(&response, "x-content-type-options"), Some("nosniff"));
}

#[tokio::test]
async fn an_answer_may_do_nothing_in_a_browser_unless_it_says_what() {
    let own = [("content-security-policy", "default-src 'self'")];
    let grpc = [("content-type", "application/grpc")];
    let app = Router::new()
        .route("/page", get(async move || own))
        .route("/rpc", get(async move || grpc));
    let app = shield::layer(app);
    let policy = async |path: &str| {
        let response = get_with(&app, &[], path).await;
        header(&response, "content-security-policy").map(str::to_owned)
    };
    let nothing = policy("/none").await.unwrap();
    assert!(nothing.starts_with("default-src 'none'; frame-ancestors 'none'"));
    assert_eq!(policy("/page").await.unwrap(), "default-src 'self'");
    assert_eq!(policy("/rpc").await, None);
    let response = get_with(&app, &[], "/page").await;
    assert_eq!(header(&response, "x-frame-options"), Some("DENY"));
    assert_eq!(header(&response, "referrer-policy"), Some("no-referrer"));
    assert_eq!(header(&response, "strict-transport-security"), None);
    let app = shield::transport(Router::new());
    let response = get_with(&app, &[], "/").await;
    let transport = header(&response, "strict-transport-security");
    assert_eq!(transport, Some("max-age=31536000"));
}
