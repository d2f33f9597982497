//! What is seen of every request, beside its span: what it is counted as, and its error, which is
//! written where the request's id is known. When and what is logged is the server's to say.

use std::time::Duration;

use axum::{
    extract::{MatchedPath, Request},
    http::{
        HeaderMap, StatusCode,
        header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE},
    },
    response::Response,
};
use metrics::{Unit, counter, describe_counter, describe_histogram, histogram};
use tracing::Span;

use crate::{
    RequestId, exemplars, span,
    trace_context::{self, TraceId, Trust},
};

const REQUESTS: &str = "sso_http_requests_total";
const DURATION: &str = "sso_http_request_duration_seconds";

/// The code of requests whose client did not wait for the answer; nginx's.
pub const ABANDONED: &str = "499";

/// The label of requests that no route takes.
pub const UNMATCHED: &str = "unmatched";

/// What we are to blame for. Their series are there at 0: what begins at 1 has no rate.
const FAULTS: [&str; 3] = ["500", "503", "504"];

/// Routes that machines ask every second, by the end of their path.
const QUIET: [&str; 4] = ["/ready", "/healthz", "/metrics", "/jwks.json"];

/// Every route with its method and the status of its success: the series that exist from the start,
/// and the only values that the label `route` can have besides [`UNMATCHED`].
pub type Series = &'static [(&'static str, &'static str, &'static str)];

/// Describes the metrics of requests and makes these series exist at 0. Call it after the recorder
/// is installed.
pub fn register(series: Series) {
    describe_counter!(
        REQUESTS,
        Unit::Count,
        "HTTP requests by route, method, status; 499: the client did not wait for the answer."
    );
    describe_histogram!(
        DURATION,
        Unit::Seconds,
        "Time from a request's head to its answer's, by route and method."
    );
    for &(method, route, success) in series {
        for code in [success].into_iter().chain(FAULTS) {
            counter!(REQUESTS, "route" => route, "method" => method, "code" => code).absolute(0);
        }
        let _ = histogram!(DURATION, "route" => route, "method" => method);
    }
}

/// What is known of a request before its answer. Nothing of it is secret or personal: no query, no
/// header.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Its id.
    pub id: RequestId,
    /// Its method, as a label.
    pub method: &'static str,
    /// Its route, as a label: one of the series' or [`UNMATCHED`].
    pub route: &'static str,
    /// Its trace, if that is sampled.
    trace: Option<TraceId>,
}

impl Seen {
    /// What is seen of this one, by a server of these routes, and its span in its trace.
    pub fn open(request: &mut Request, series: Series, trust: Trust) -> (Self, Span) {
        let mut seen = Self::of(request, series);
        let span = trace_context::open(request, trust, |trace_id| {
            span::of_request(&seen.id, trace_id, seen.method, seen.route)
        });
        seen.trace = trace_context::recorded(request);
        (seen, span)
    }

    fn of(request: &Request, series: Series) -> Self {
        let matched = request.extensions().get().map(MatchedPath::as_str);
        let mut routes = series.iter().map(|&(_, route, _)| route);
        let route = routes.find(|route| Some(*route) == matched);
        Self {
            id: RequestId::of(request),
            method: span::method(request.method()),
            route: route.unwrap_or(UNMATCHED),
            trace: None,
        }
    }

    /// Whether machines ask it every second: its line is for debugging.
    pub fn is_quiet(&self) -> bool {
        QUIET.iter().any(|end| self.route.ends_with(end))
    }

    /// Counts it.
    pub fn count(&self, response: &Response, took: Duration) {
        self.count_as(response.status().as_str().to_owned(), took);
    }

    /// Counts it as [`ABANDONED`]. An outage in which every client gives up before he is refused is
    /// one that is seen.
    pub fn count_abandoned(&self, took: Duration) {
        self.count_as(ABANDONED.to_owned(), took);
    }

    fn count_as(&self, code: String, took: Duration) {
        counter!(REQUESTS, "route" => self.route, "method" => self.method, "code" => code)
            .increment(1);
        histogram!(DURATION, "route" => self.route, "method" => self.method).record(took);
        if let Some(trace) = self.trace {
            let labels = [("route", self.route), ("method", self.method)];
            exemplars::observed(DURATION, &labels, took, trace);
        }
    }
}

/// Has an error written that has no body yet: the one that the answer carries as an extension, or
/// that of its status where it has no content type, which is how the router answers by itself.
/// `write` is given the headers of the answer, for [`keep_headers`].
pub fn finish<E: Clone + Send + Sync + 'static>(
    response: Response,
    of_status: fn(StatusCode) -> E,
    write: impl FnOnce(E, HeaderMap) -> Response,
) -> Response {
    let status = response.status();
    let is_error = status.is_client_error() || status.is_server_error();
    let (mut parts, body) = response.into_parts();
    let error = match parts.extensions.remove::<E>() {
        Some(error) => error,
        None if is_error && !parts.headers.contains_key(CONTENT_TYPE) => of_status(status),
        None => return Response::from_parts(parts, body),
    };
    write(error, parts.headers)
}

/// Gives an answer the headers of the one that it stands for, except those of a body. Of several
/// values of one name the first is kept.
pub fn keep_headers(response: &mut Response, headers: HeaderMap) {
    for (name, value) in headers {
        if let Some(name) = name
            && ![CONTENT_TYPE, CONTENT_LENGTH, CONTENT_ENCODING].contains(&name)
        {
            response.headers_mut().insert(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::{
        Router,
        body::{Body, to_bytes},
        response::IntoResponse,
        routing::get,
    };
    use tower::ServiceExt;

    use super::*;

    const SERIES: Series = &[("GET", "/a/{id}", "200"), ("GET", "/a/ready", "200")];

    async fn label(request: Request) -> &'static str {
        Seen::of(&request, SERIES).route
    }

    #[tokio::test]
    async fn the_label_of_a_request_is_a_route_that_is_listed_or_none() {
        let app = Router::new()
            .route("/a/{id}", get(label))
            .route("/not-listed", get(label))
            .fallback(label);
        for (path, expected) in [
            ("/a/1", "/a/{id}"),
            ("/not-listed", UNMATCHED),
            ("/none", UNMATCHED),
        ] {
            let mut request = Request::new(Body::empty());
            *request.uri_mut() = path.parse().unwrap();
            let response = app.clone().oneshot(request).await.unwrap();
            let body = to_bytes(response.into_body(), 100).await.unwrap();
            assert_eq!(body, expected, "{path}");
        }
    }

    #[test]
    fn what_machines_ask_is_quiet() {
        let is_quiet = |route: &'static str| {
            let id = RequestId::default();
            let (method, trace) = ("GET", None);
            let seen = Seen {
                id,
                method,
                route,
                trace,
            };
            seen.is_quiet()
        };
        for quiet in ["/auth/ready", "/loyalty/healthz", "/metrics"] {
            assert!(is_quiet(quiet), "{quiet}");
        }
        assert!(is_quiet("/.well-known/jwks.json"));
        for loud in ["/auth/login", "/a/already", "/swagger/doc.json", UNMATCHED] {
            assert!(!is_quiet(loud), "{loud}");
        }
    }

    #[derive(Clone)]
    struct Failure(StatusCode);

    /// The status that is written; `None`: the answer is left as it is.
    fn written(response: Response) -> Option<StatusCode> {
        let mut written = None;
        finish(response, Failure, |failure: Failure, _| {
            written = Some(failure.0);
            Response::default()
        });
        written
    }

    #[test]
    fn an_error_is_written_unless_it_has_its_body() {
        let teapot = StatusCode::IM_A_TEAPOT;
        let bare = teapot.into_response();
        assert_eq!(written(bare), Some(teapot));
        let full = (teapot, "a text").into_response();
        assert_eq!(written(full), None);
        assert_eq!(written(StatusCode::OK.into_response()), None);
        let mut carries = "a text".into_response();
        carries.extensions_mut().insert(Failure(teapot));
        assert_eq!(written(carries), Some(teapot));
    }

    #[test]
    fn headers_are_kept_except_those_of_a_body() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("allow", "GET"),
            ("content-type", "text/html"),
            ("content-length", "5"),
            ("content-encoding", "gzip"),
        ] {
            headers.insert(name, value.parse().unwrap());
        }
        let mut response = "a text".into_response();
        keep_headers(&mut response, headers);
        assert_eq!(response.headers()["allow"], "GET");
        assert_eq!(
            response.headers()[CONTENT_TYPE],
            "text/plain; charset=utf-8"
        );
        for gone in [CONTENT_LENGTH, CONTENT_ENCODING] {
            assert!(!response.headers().contains_key(gone));
        }
    }
}
