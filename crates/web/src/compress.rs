//! Answers packed with gzip, for clients that take it.

use axum::{
    Router,
    extract::Request,
    http::{HeaderValue, header::ACCEPT_ENCODING},
    middleware::{Next, from_fn},
};
use tower_http::compression::{
    CompressionLayer, Predicate,
    predicate::{NotForContentType, SizeAbove},
};

use crate::packed::takes_gzip;

/// Below this gzip makes an answer longer, or no shorter worth its time.
const MIN_COMPRESSED: u64 = 1024;

/// Packs answers from a kilobyte on for clients that take gzip. Who takes neither gzip nor the answer as it
/// is gets it as it is (RFC 9110, section 12.5.3, allows it): by then what was asked for is done, and a 406
/// in place of its status would say that it is not.
pub fn layer(router: Router) -> Router {
    let compress = SizeAbove::new(MIN_COMPRESSED).and(NotForContentType::IMAGES);
    let packs = CompressionLayer::new().gzip(true).compress_when(compress);
    router
        .layer(packs)
        .layer(from_fn(async |mut request: Request, next: Next| {
            let headers = request.headers_mut();
            let takes_gzip = takes_gzip(headers);
            headers.remove(ACCEPT_ENCODING);
            if takes_gzip {
                headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
            }
            next.run(request).await
        }))
}

#[cfg(test)]
mod tests {
    use axum::{
        body::Body,
        http::{StatusCode, header::CONTENT_ENCODING},
        routing::get,
    };
    use tower::ServiceExt as _;

    use super::*;

    #[tokio::test]
    async fn the_status_is_what_it_is_whatever_the_client_takes() {
        let route = get(async || (StatusCode::CONFLICT, "x".repeat(5_000)));
        let router = layer(Router::new().route("/", route));
        for (accept, packed) in [
            ("gzip", true),
            ("gzip, identity;q=0", true),
            ("*", true),
            ("identity;q=0", false),
            ("*;q=0", false),
            ("br, identity;q=0", false),
            ("gzip;q=0, identity;q=0", false),
            ("gzip;q=0, *", false),
        ] {
            let request = Request::get("/").header(ACCEPT_ENCODING, accept);
            let request = request.body(Body::empty()).unwrap();
            let response = router.clone().oneshot(request).await.unwrap();
            assert_eq!(response.status(), StatusCode::CONFLICT, "{accept}");
            let is_packed = response.headers().contains_key(CONTENT_ENCODING);
            assert_eq!(is_packed, packed, "{accept}");
        }
    }
}
