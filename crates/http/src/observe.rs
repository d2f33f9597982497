//! What is seen of every request: a span, a line in the log, metrics, and its failure, written for
//! the client and logged once.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{MatchedPath, Request, State},
    http::header::CONTENT_TYPE,
    middleware::{Next, from_fn_with_state},
    response::Response,
};
use metrics::{Unit, counter, describe_counter, describe_histogram, histogram};
use sso_core::{Kind, ports::Clock};
use sso_web::{
    RequestId, ViaProxy, exemplars, span,
    trace_context::{self, Trust},
};
use tracing::Instrument;

use crate::error::{HttpError, render};

const REQUESTS: &str = "sso_http_requests_total";
const DURATION: &str = "sso_http_request_duration_seconds";

/// The label of requests that no route takes.
const UNMATCHED: &str = "unmatched";

/// Every route with its method and the status of its success: the series that exist from the start,
/// and the only values that the label `route` can have besides `unmatched`.
pub(crate) const ROUTES: &[(&str, &str, &str)] = &[
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

/// Routes that machines ask every second: their lines are for debugging.
const QUIET: [&str; 4] = [
    "/auth/ready",
    "/auth/healthz",
    "/.well-known/jwks.json",
    "/metrics",
];

/// Describes the metrics of this API and makes the series of bounded labels exist at 0.
pub fn register_metrics() {
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
    for &(method, route, code) in ROUTES {
        counter!(REQUESTS, "route" => route, "method" => method, "code" => code).absolute(0);
        let _ = histogram!(DURATION, "route" => route, "method" => method);
    }
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
    let seen = Seen {
        id: RequestId::of(&request),
        method: span::method(request.method()),
        route: route_label(&request),
    };
    let trust = match request.extensions().get() {
        Some(ViaProxy) => Trust::Parent,
        None => Trust::Link,
    };
    let span = trace_context::open(&mut request, trust, |trace_id| {
        span::of_request(&seen.id, trace_id, seen.method, seen.route)
    });
    async {
        let start = observer.clock.monotonic();
        let response = seen.finish(next.run(request).await);
        let took = observer.clock.monotonic().saturating_sub(start);
        seen.log(&response, took);
        span::answered(&response);
        if observer.measures {
            seen.count(&response, took);
        }
        response
    }
    .instrument(span)
    .await
}

/// What is known of a request before its answer. Nothing of it is secret or personal: no query, no
/// header.
struct Seen {
    id: RequestId,
    method: &'static str,
    route: &'static str,
}

impl Seen {
    /// Writes the body of an error that has none yet, and logs it.
    fn finish(&self, response: Response) -> Response {
        let status = response.status();
        let is_error = status.is_client_error() || status.is_server_error();
        let (mut parts, body) = response.into_parts();
        let error = match parts.extensions.remove::<HttpError>() {
            Some(error) => error,
            None if is_error && !parts.headers.contains_key(CONTENT_TYPE) => {
                HttpError::of_status(status)
            }
            None => return Response::from_parts(parts, body),
        };
        log(&error);
        render(&error, &self.id, parts.headers)
    }

    fn log(&self, response: &Response, took: Duration) {
        let status = response.status().as_u16();
        if QUIET.contains(&self.route) {
            tracing::debug!(status, ?took, "request");
        } else {
            tracing::info!(status, ?took, "request");
        }
    }

    fn count(&self, response: &Response, took: Duration) {
        let code = response.status().as_str().to_owned();
        counter!(REQUESTS, "route" => self.route, "method" => self.method, "code" => code)
            .increment(1);
        histogram!(DURATION, "route" => self.route, "method" => self.method).record(took);
        let labels = [("route", self.route), ("method", self.method)];
        exemplars::observed(DURATION, &labels, took);
    }
}

/// Faults are errors, what is only refused for now is a warning, the client's faults are for
/// debugging: he is told himself. The request's id is in the span.
fn log(error: &HttpError) {
    let (code, message) = (error.failure.code, &*error.failure.message);
    let cause = error.failure.cause.as_ref().map(tracing::field::display);
    match error.failure.kind {
        Kind::Internal if cause.is_none() => tracing::debug!(code, "a fault, logged already"),
        Kind::Internal => tracing::error!(code, cause, "a request failed"),
        Kind::Unavailable | Kind::DeadlineExceeded => {
            tracing::warn!(code, message, cause, "a request was not served");
        }
        Kind::Invalid
        | Kind::Unauthenticated
        | Kind::Forbidden
        | Kind::NotFound
        | Kind::Conflict
        | Kind::Precondition
        | Kind::RateLimited => tracing::debug!(code, message, cause, "a request was refused"),
    }
}

fn route_label(request: &Request) -> &'static str {
    let matched = request.extensions().get().map(MatchedPath::as_str);
    ROUTES
        .iter()
        .map(|&(_, route, _)| route)
        .find(|route| Some(*route) == matched)
        .unwrap_or(UNMATCHED)
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
