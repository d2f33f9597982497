//! `/<program>/ready`, `/<program>/healthz`, `/metrics`.

use std::sync::Arc;

use axum::{
    Json, Router,
    http::{
        HeaderValue, StatusCode,
        header::{CACHE_CONTROL, CONTENT_TYPE},
    },
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::json;
use sso_telemetry::Metrics;

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
    let text = async move || {
        let kind = HeaderValue::from_static(Metrics::CONTENT_TYPE);
        ([(CONTENT_TYPE, kind)], metrics.render())
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
