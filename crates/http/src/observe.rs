//! What is seen of every request: a span, a line in the log, metrics, and its failure, written for
//! the client and logged once.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Request, State},
    middleware::{Next, from_fn_with_state},
    response::Response,
};
use scopeguard::{ScopeGuard, guard};
use sso_core::{Kind, ports::Clock};
use sso_web::{
    Client,
    observe::{self, Seen, Series},
    span,
    trace_context::Trust,
};
use tracing::Instrument;

use crate::error::{HttpError, render};

/// Every route with its method and the status of its success: the series that exist from the start,
/// and the only values that the label `route` can have besides `unmatched`.
const ROUTES: Series = &[
    ("POST", "/auth/registration", "201"),
    ("POST", "/auth/login", "200"),
    ("POST", "/auth/refresh", "200"),
    ("POST", "/auth/logout", "200"),
    ("GET", "/auth/info", "200"),
    ("POST", "/auth/password", "200"),
    ("GET", "/auth/sessions", "200"),
    ("DELETE", "/auth/sessions/{id}", "200"),
    ("GET", "/auth/ready", "200"),
    ("GET", "/auth/healthz", "200"),
    ("GET", "/.well-known/jwks.json", "200"),
    ("GET", "/swagger", "307"),
    ("GET", "/swagger/", "307"),
    ("GET", "/swagger/doc.json", "200"),
    ("GET", "/swagger/{file}", "200"),
    ("GET", "/metrics", "200"),
];

/// Describes the metrics of this API and makes the series of bounded labels exist at 0.
pub fn register_metrics() {
    observe::register(ROUTES);
}

/// Observes every route, and counts it.
pub(crate) fn layer(router: Router, clock: Arc<dyn Clock>) -> Router {
    let observer = Observer {
        clock,
        measures: true,
    };
    router.layer(from_fn_with_state(observer, observe))
}

/// Observes every route of a listener that is not part of the metrics.
pub(crate) fn layer_unmeasured(router: Router, clock: Arc<dyn Clock>) -> Router {
    let observer = Observer {
        clock,
        measures: false,
    };
    router.layer(from_fn_with_state(observer, observe))
}

#[derive(Clone)]
struct Observer {
    clock: Arc<dyn Clock>,
    measures: bool,
}

async fn observe(State(observer): State<Observer>, mut request: Request, next: Next) -> Response {
    let client = request.extensions().get::<Client>();
    let trust = if client.is_some_and(|client| client.via_proxy) {
        Trust::Parent
    } else {
        Trust::Link
    };
    let (seen, span) = Seen::open(&mut request, ROUTES, trust);
    async {
        let start = observer.clock.monotonic();
        let took = || observer.clock.monotonic().saturating_sub(start);
        let unanswered = guard((), |()| {
            tracing::info!(took = ?took(), "request abandoned by its client");
            if observer.measures {
                seen.count_abandoned(took());
            }
        });
        let response = finish(next.run(request).await, &seen);
        ScopeGuard::into_inner(unanswered);
        let took = took();
        log_request(&seen, &response, took);
        span::answered(&response);
        if observer.measures {
            seen.count(&response, took);
        }
        response
    }
    .instrument(span)
    .await
}

fn log_request(seen: &Seen, response: &Response, took: Duration) {
    let status = response.status().as_u16();
    if seen.is_quiet() {
        tracing::debug!(status, ?took, "request");
    } else {
        tracing::info!(status, ?took, "request");
    }
}

/// Writes the body of an error that has none yet, and logs it.
fn finish(response: Response, seen: &Seen) -> Response {
    observe::finish(
        response,
        HttpError::of_status,
        |error: HttpError, headers| {
            log(&error);
            render(&error, &seen.id, headers)
        },
    )
}

/// Faults are errors, what is only refused for now is a warning, the client's faults are for
/// debugging: he is told himself. The request's id is in the span.
fn log(error: &HttpError) {
    let (code, answer) = (error.failure.code, &*error.failure.message);
    let cause = error.failure.cause.as_ref().map(tracing::field::display);
    match error.failure.kind {
        Kind::Internal if cause.is_none() => tracing::debug!(code, "a fault, logged already"),
        Kind::Internal => tracing::error!(code, cause, "a request failed"),
        Kind::Unavailable | Kind::DeadlineExceeded => {
            tracing::warn!(code, cause, "a request was not served: {answer}");
        }
        Kind::Invalid
        | Kind::Unauthenticated
        | Kind::Forbidden
        | Kind::NotFound
        | Kind::Conflict
        | Kind::Precondition
        | Kind::RateLimited => tracing::debug!(code, cause, "a request was refused: {answer}"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::ROUTES;

    #[test]
    fn every_route_of_the_document_has_its_series() {
        let document = serde_json::to_value(crate::openapi()).unwrap();
        let mut documented = BTreeSet::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let responses = operation["responses"].as_object().unwrap();
                let success = responses.keys().find(|status| status.starts_with('2'));
                documented.insert((
                    method.to_uppercase(),
                    path.clone(),
                    success.unwrap().clone(),
                ));
            }
        }
        let listed = ROUTES
            .iter()
            .filter(|(_, path, _)| !path.starts_with("/swagger") && *path != "/metrics");
        let listed: BTreeSet<_> = listed
            .map(|&(method, path, code)| (method.to_owned(), path.to_owned(), code.to_owned()))
            .collect();
        assert_eq!(listed, documented);
    }
}
