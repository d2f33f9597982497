//! Cross-origin requests: which pages' scripts may use the API.

use std::{convert::Infallible, time::Duration};

use axum::{
    Router,
    extract::{Request, State},
    http::{
        HeaderName, HeaderValue, Method,
        header::{
            ACCESS_CONTROL_REQUEST_METHOD, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, ORIGIN,
            RETRY_AFTER, WWW_AUTHENTICATE,
        },
    },
    middleware::{Next, from_fn_with_state},
    response::Response,
};
use sso_web::request_id;
use tower::{Layer, ServiceExt, service_fn};
use tower_http::cors::{AllowOrigin, CorsLayer};

/// How long a browser may keep the answer to a preflight.
const MAX_AGE: Duration = Duration::from_mins(10);

/// Tells browsers that pages of exactly these origins may read answers, and answers their preflights
/// (<https://fetch.spec.whatwg.org/#http-cors-protocol>). Without origins nothing changes. No
/// credentials: there are no cookies here, a token is sent by the page's own script.
pub(crate) fn layer(router: Router, origins: &[HeaderValue]) -> Router {
    if origins.is_empty() {
        return router;
    }
    let name = HeaderName::from_static;
    let cors = CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins.iter().cloned()))
        .allow_methods([Method::GET, Method::HEAD, Method::POST, Method::DELETE])
        .allow_headers([
            AUTHORIZATION,
            CONTENT_TYPE,
            CONTENT_ENCODING,
            request_id::HEADER,
            name("idempotency-key"),
            name("traceparent"),
            name("tracestate"),
        ])
        .expose_headers([
            request_id::HEADER,
            name("x-revocation"),
            RETRY_AFTER,
            WWW_AUTHENTICATE,
        ])
        .max_age(MAX_AGE);
    router.layer(from_fn_with_state(cors, answer))
}

/// The layer takes every `OPTIONS` for a preflight; one that is none is for the router, which
/// answers 404 or 405.
async fn answer(State(cors): State<CorsLayer>, request: Request, next: Next) -> Response {
    if request.method() == Method::OPTIONS && !is_preflight(&request) {
        return next.run(request).await;
    }
    let rest = service_fn(move |request: Request| {
        let next = next.clone();
        async move { Ok::<_, Infallible>(next.run(request).await) }
    });
    match cors.layer(rest).oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

fn is_preflight(request: &Request) -> bool {
    let headers = request.headers();
    headers.contains_key(ORIGIN) && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}
