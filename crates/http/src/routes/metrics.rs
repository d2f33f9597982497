use axum::{
    http::{HeaderValue, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};

use crate::state::Metrics;

/// The metrics in Prometheus' text format.
pub(crate) fn text(render: &Metrics) -> Response {
    let version = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    ([(CONTENT_TYPE, version)], render()).into_response()
}
