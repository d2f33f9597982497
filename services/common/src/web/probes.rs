//! `/<program>/ready`, `/<program>/healthz`, `/metrics`.

use std::sync::Arc;

use axum::{
    Extension, Json, Router,
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER},
    },
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::json;
use sso_telemetry::{Exposition, Metrics};
use sso_web::RequestId;

use crate::health::Health;

/// The routes of a program.
pub(crate) fn probes(program: &str, health: &Arc<Health>, metrics: Metrics) -> Router {
    let health = Arc::clone(health);
    let ready = async move |Extension(id): Extension<RequestId>| {
        let (ready, mut report) = health.report();
        if ready {
            return fresh(Json(report).into_response());
        }
        // A report that is an error's body, too.
        report["error"] = "not ready".into();
        report["code"] = "unavailable".into();
        report["request_id"] = id.as_str().into();
        let later = [(RETRY_AFTER, "1")];
        fresh((StatusCode::SERVICE_UNAVAILABLE, later, Json(report)).into_response())
    };
    let alive = async || fresh(Json(json!({"status": "Success"})).into_response());
    let text = async move |asked: HeaderMap| {
        let accept = asked.get(ACCEPT).and_then(|accept| accept.to_str().ok());
        let exposition = Exposition::of_accept(accept);
        let kind = HeaderValue::from_static(exposition.content_type());
        ([(CONTENT_TYPE, kind)], metrics.render_as(exposition))
    };
    Router::new()
        .route(&format!("/{program}/ready"), get(ready))
        .route(&format!("/{program}/healthz"), get(alive))
        .route("/metrics", get(text))
}

fn fresh(mut response: Response) -> Response {
    let never = HeaderValue::from_static("no-store");
    response.headers_mut().insert(CACHE_CONTROL, never);
    response
}
