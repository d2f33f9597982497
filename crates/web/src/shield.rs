//! Headers by which browsers take an answer for what it is and do nothing else with it.

use axum::{
    Router,
    extract::Request,
    http::{
        HeaderMap, HeaderValue,
        header::{
            CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY,
            X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
        },
    },
    middleware::{Next, from_fn},
    response::Response,
};

/// What an answer that is no page may do: nothing. Pages say for themselves what they need.
const POLICY: &str = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; \
                      form-action 'none'";
/// A year. Names below this one are the operator's to decide about.
const TRANSPORT: &str = "max-age=31536000";

/// Sets `x-content-type-options: nosniff` on every answer; and a Content-Security-Policy,
/// `x-frame-options: DENY` and `referrer-policy: no-referrer` where the answer has none of its own
/// and is not gRPC, which no browser reads.
pub fn layer(router: Router) -> Router {
    router.layer(from_fn(async |request: Request, next: Next| {
        let mut response: Response = next.run(request).await;
        shield(response.headers_mut());
        response
    }))
}

/// Sets `strict-transport-security` (RFC 6797) on every answer, for a listener that browsers reach
/// by TLS only.
pub fn transport(router: Router) -> Router {
    router.layer(from_fn(async |request: Request, next: Next| {
        let mut response: Response = next.run(request).await;
        let value = HeaderValue::from_static(TRANSPORT);
        let headers = response.headers_mut();
        headers.insert(STRICT_TRANSPORT_SECURITY, value);
        response
    }))
}

fn shield(headers: &mut HeaderMap) {
    let nosniff = HeaderValue::from_static("nosniff");
    headers.insert(X_CONTENT_TYPE_OPTIONS, nosniff);
    let media_type = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    if media_type.is_some_and(|value| value.starts_with(b"application/grpc")) {
        return;
    }
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
    ] {
        let value = HeaderValue::from_static(value);
        headers.entry(name).or_insert(value);
    }
}
