//! What is seen of every request: a span, a line in the log, metrics, and its error, written for the
//! client and logged once.

use std::time::{Duration, Instant};

use axum::{
    Router,
    extract::{MatchedPath, Request, State},
    http::header::CONTENT_TYPE,
    middleware::{Next, from_fn_with_state},
    response::Response,
};
use metrics::{Unit, counter, describe_counter, describe_histogram, histogram};
use sso_web::{
    RequestId, exemplars, span,
    trace_context::{self, Trust},
};
use tracing::Instrument;

use super::Problem;

const REQUESTS: &str = "sso_http_requests_total";
const DURATION: &str = "sso_http_request_duration_seconds";
/// The label of requests that no route takes.
const UNMATCHED: &str = "unmatched";

type Series = &'static [(&'static str, &'static str, &'static str)];

pub(super) fn register(series: Series) {
    describe_counter!(
        REQUESTS,
        Unit::Count,
        "HTTP requests by route, method, status."
    );
    describe_histogram!(
        DURATION,
        Unit::Seconds,
        "Time from a request's head to its answer's, by route and method."
    );
    for &(method, route, code) in series {
        counter!(REQUESTS, "route" => route, "method" => method, "code" => code).absolute(0);
    }
}

/// Observes every route, and counts it.
pub(super) fn layer(router: Router, series: Series) -> Router {
    router.layer(from_fn_with_state(series, observe))
}

async fn observe(State(series): State<Series>, mut request: Request, next: Next) -> Response {
    let id = RequestId::of(&request);
    let method = span::method(request.method());
    let matched = request.extensions().get().map(MatchedPath::as_str);
    let mut routes = series.iter().map(|&(_, route, _)| route);
    let route = routes
        .find(|route| Some(*route) == matched)
        .unwrap_or(UNMATCHED);
    let span = trace_context::open(&mut request, Trust::Link, |trace_id| {
        span::of_request(&id, trace_id, method, route)
    });
    async {
        let start = Instant::now();
        let response = finish(next.run(request).await, &id);
        let took = start.elapsed();
        span::answered(&response);
        count(route, method, &response, took);
        response
    }
    .instrument(span)
    .await
}

fn count(route: &'static str, method: &'static str, response: &Response, took: Duration) {
    let status = response.status().as_u16();
    if route == UNMATCHED
        || ["ready", "healthz", "metrics"]
            .iter()
            .any(|end| route.ends_with(end))
    {
        tracing::debug!(status, ?took, "request");
    } else {
        tracing::info!(status, ?took, "request");
    }
    let code = response.status().as_str().to_owned();
    counter!(REQUESTS, "route" => route, "method" => method, "code" => code).increment(1);
    histogram!(DURATION, "route" => route, "method" => method).record(took);
    exemplars::observed(DURATION, &[("route", route), ("method", method)], took);
}

/// Writes the body of an error that has none yet, and logs it.
fn finish(response: Response, id: &RequestId) -> Response {
    let status = response.status();
    let is_error = status.is_client_error() || status.is_server_error();
    let (mut parts, body) = response.into_parts();
    let problem = match parts.extensions.remove::<Problem>() {
        Some(problem) => problem,
        None if is_error && !parts.headers.contains_key(CONTENT_TYPE) => Problem::of_status(status),
        None => return Response::from_parts(parts, body),
    };
    let (code, cause) = (problem.code, problem.cause.as_deref());
    match problem.status.as_u16() {
        500 if cause.is_some() => tracing::error!(code, cause, "a request failed"),
        503 | 504 => tracing::warn!(code, cause, "a request was not served"),
        _ => tracing::debug!(code, cause, "a request was refused"),
    }
    problem.render(id, parts.headers)
}
