//! What is seen of every request: a span, a line in the log, metrics, and its error, written for the
//! client and logged once.

use std::time::{Duration, Instant};

use axum::{
    Router,
    extract::{Request, State},
    middleware::{Next, from_fn_with_state},
    response::Response,
};
use scopeguard::{ScopeGuard, guard};
use sso_web::{
    observe::{self, Seen, Series, UNMATCHED},
    span,
    trace_context::Trust,
};
use tracing::Instrument;

use super::Problem;

/// Observes every route, and counts it.
pub(super) fn layer(router: Router, series: Series) -> Router {
    router.layer(from_fn_with_state(series, observe))
}

async fn observe(State(series): State<Series>, mut request: Request, next: Next) -> Response {
    let (seen, span) = Seen::open(&mut request, series, Trust::Link);
    async {
        let start = Instant::now();
        let unanswered = guard((), |()| {
            let took = start.elapsed();
            tracing::info!(?took, "request abandoned by its client");
            seen.count_abandoned(took);
        });
        let response = finish(next.run(request).await, &seen);
        ScopeGuard::into_inner(unanswered);
        let took = start.elapsed();
        span::answered(&response);
        log_request(&seen, &response, took);
        seen.count(&response, took);
        response
    }
    .instrument(span)
    .await
}

fn log_request(seen: &Seen, response: &Response, took: Duration) {
    let status = response.status().as_u16();
    if seen.is_quiet() || seen.route == UNMATCHED {
        tracing::debug!(status, ?took, "request");
    } else {
        tracing::info!(status, ?took, "request");
    }
}

/// Writes the body of an error that has none yet, and logs it.
fn finish(response: Response, seen: &Seen) -> Response {
    observe::finish(response, Problem::of_status, |problem: Problem, headers| {
        log(&problem);
        problem.render(&seen.id, headers)
    })
}

fn log(problem: &Problem) {
    let (code, cause) = (problem.code, problem.cause.as_deref());
    match problem.status.as_u16() {
        500 if cause.is_some() => tracing::error!(code, cause, "a request failed"),
        503 | 504 => tracing::warn!(code, cause, "a request was not served"),
        _ => tracing::debug!(code, cause, "a request was refused"),
    }
}
