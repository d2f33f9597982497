//! The span of a request, by the conventions for HTTP servers. Nothing in it is secret or personal: no
//! path (people type secrets into it), no query, no header.

use axum::{http::Method, response::Response};
use tracing::{Span, field::Empty};

use crate::RequestId;

/// Of a request to this route (`/auth/sessions/{id}`). To be made in its trace, by
/// [`trace_context::open`](crate::trace_context::open).
pub fn of_request(
    id: &RequestId,
    trace_id: Option<&str>,
    method: &'static str,
    route: &'static str,
) -> Span {
    let span = tracing::info_span!(
        "http_request",
        otel.kind = "server",
        otel.name = Empty,
        otel.status_code = Empty,
        request_id = id.as_str(),
        trace_id,
        http.request.method = method,
        http.route = route,
        http.response.status_code = Empty,
        "error.type" = Empty,
    );
    if !span.is_disabled() {
        span.record("otel.name", format!("{method} {route}"));
    }
    span
}

/// How the request of the current span ended.
pub fn answered(response: &Response) {
    let span = Span::current();
    let status = response.status();
    span.record("http.response.status_code", status.as_u16());
    if status.is_server_error() {
        span.record("otel.status_code", "ERROR");
        span.record("error.type", status.as_str());
    }
}

/// A method as a label, one of few: a client may send any word.
pub fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::OPTIONS => "OPTIONS",
        _ => "OTHER",
    }
}
