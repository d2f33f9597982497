//! `x-content-type-options: nosniff`: no browser makes of an answer what it does not say it is.

use axum::{
    Router,
    extract::Request,
    http::{HeaderValue, header::X_CONTENT_TYPE_OPTIONS},
    middleware::{Next, from_fn},
    response::Response,
};

/// Sets the header on every answer.
pub fn layer(router: Router) -> Router {
    router.layer(from_fn(set))
}

async fn set(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let nosniff = HeaderValue::from_static("nosniff");
    response
        .headers_mut()
        .insert(X_CONTENT_TYPE_OPTIONS, nosniff);
    response
}
