//! JSON for every unary rpc, over HTTP/1.1 and 2: transcoded by the descriptors, and served by the
//! very services that gRPC reaches.

mod frame;
mod read;
mod write;

use std::time::Duration;

use axum::{
    Router,
    body::Body,
    extract::Request,
    http::{HeaderMap, header::CONTENT_TYPE},
    response::Response,
    routing::post,
};
use bytes::Bytes;
use sso_core::{
    BadFields, Failure, Kind,
    metrics::count_throttled,
    ports::{ThrottleReason, Throttled},
};
use sso_web::{
    RequestId,
    body::{self, BodyError},
};
use tonic::Status;
use tracing::Instrument;

pub(crate) use write::http_code;

use crate::{
    call::Misread,
    calls::{Calls, Head},
    methods::{self, Method},
    status,
};

/// The routes of all unary rpcs: `/{package.Service}/{Method}` and the short ones.
pub(crate) fn router(calls: &Calls) -> Router {
    let mut router = Router::new();
    for method in methods::all().iter().filter(|method| method.is_unary()) {
        let paths = [Some(&method.path), method.short_path.as_ref()];
        for path in paths.into_iter().flatten() {
            let calls = calls.clone();
            let handler = move |request| serve(calls.clone(), method, request);
            router = router.route(path, post(handler));
        }
    }
    router
}

/// Answers what no route takes.
pub(crate) fn with_fallbacks(router: Router) -> Router {
    router
        .method_not_allowed_fallback(|request: Request| async move {
            refused(
                &RequestId::of(&request),
                Kind::Invalid,
                "method_not_allowed",
                "method not allowed",
            )
        })
        .fallback(|request: Request| async move { not_found(&RequestId::of(&request)) })
}

/// The answer where there is nothing.
pub(crate) fn not_found(id: &RequestId) -> Response {
    refused(id, Kind::NotFound, "not_found", "no such route")
}

/// The answer where a handler outside of a call panicked.
pub(crate) fn broken(id: &RequestId) -> Response {
    refused(id, Kind::Internal, "internal", "internal error")
}

/// The answer to one request too many of an address to a route.
pub(crate) fn too_many(wait: Duration, id: &RequestId) -> Response {
    let throttled = Throttled::by(ThrottleReason::Address, wait);
    count_throttled(throttled.reason);
    write::error(&status::of(&throttled.into(), id.as_str()))
}

/// The answer to a request that was meant for another host.
pub(crate) fn misdirected(id: &RequestId) -> Response {
    refused(
        id,
        Kind::Invalid,
        "misdirected_request",
        "in development mode only requests to localhost are served",
    )
}

/// What HTTP itself refuses needs no line in the log.
fn refused(id: &RequestId, kind: Kind, code: &'static str, message: &'static str) -> Response {
    write::error(&status::of(&Failure::new(kind, code, message), id.as_str()))
}

async fn serve(calls: Calls, method: &'static Method, mut request: Request) -> Response {
    let span = calls.span(&method.path, &mut request);
    traced(calls, method, request).instrument(span).await
}

async fn traced(calls: Calls, method: &'static Method, request: Request) -> Response {
    let head = Head::of(&request);
    let call = transcode(&calls, method, request, &head.id);
    match calls.other(&method.path, &head, call).await {
        Ok(response) => response,
        Err(status) => write::error(&status),
    }
}

async fn transcode(
    calls: &Calls,
    method: &'static Method,
    request: Request,
    id: &RequestId,
) -> Result<Response, Status> {
    let refuse = |failure: Failure| status::refuse(&failure, id);
    let (mut parts, body) = request.into_parts();
    body::require_length(&parts.headers, calls.limit())
        .map_err(|error| refuse(failure_of(error)))?;
    calls.admit(&method.path, &mut parts, id).await?;
    let body = read_body(&parts.headers, body, calls.limit())
        .await
        .map_err(|error| refuse(failure_of(error)))?;
    let (message, bad) = read::message(method, &body).map_err(refuse)?;
    if !bad.is_empty() {
        if !method.ours {
            return Err(refuse(BadFields(bad).into()));
        }
        // The handler says these together with what it finds itself.
        parts.extensions.insert(Misread(bad));
    }
    let request = frame::request(method, parts, &message).map_err(refuse)?;
    let answer = frame::answer(calls.forward(request).await, id).await?;
    write::answer(method, answer).map_err(refuse)
}

/// In the order of the contract: media type, then the body. What is too large by its declared length
/// was refused before the door.
async fn read_body(headers: &HeaderMap, body: Body, limit: usize) -> Result<Bytes, BodyError> {
    if !headers.contains_key(CONTENT_TYPE) {
        return Err(BodyError::UnsupportedMediaType);
    }
    body::require_json(headers)?;
    body::read(body, headers, limit).await
}

fn failure_of(error: BodyError) -> Failure {
    let code = match error {
        BodyError::TooLarge => "payload_too_large",
        BodyError::UnsupportedEncoding | BodyError::UnsupportedMediaType => {
            "unsupported_media_type"
        }
        BodyError::Malformed(_) | BodyError::Interrupted => "invalid_request",
    };
    Failure::new(Kind::Invalid, code, error.to_string())
}
