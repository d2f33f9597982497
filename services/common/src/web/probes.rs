//! `/<program>/ready`, `/<program>/healthz`, `/metrics`.

use std::sync::Arc;

use axum::{
    Json, Router,
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE},
    },
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::json;
use sso_telemetry::{Exposition, Metrics};

use crate::health::Health;

/// The routes of a program.
pub(crate) fn probes(program: &str, health: &Arc<Health>, metrics: Metrics) -> Router {
    let health = Arc::clone(health);
    let ready = async move || {
        let (ready, report) = health.report();
        let status = if ready {
            StatusCode::OK
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        };
        fresh((status, Json(report)).into_response())
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
