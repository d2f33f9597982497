//! Swagger UI at `/sw/`, its assets in the binary, and the document that it shows.

mod access;
mod comments;
mod openapi;
mod schema;

use std::sync::{Arc, LazyLock};

use axum::{
    Router,
    extract::{Path, Request, rejection::PathRejection},
    http::{
        HeaderValue,
        header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE},
    },
    response::{IntoResponse, Redirect, Response},
    routing::get,
};
use bytes::Bytes;
use serde_json::Value;
use sso_web::{RequestId, packed};
use utoipa_swagger_ui::Config;

use crate::json;

const DOCUMENT: &str = "/sw/doc.json";
/// The page may use what this port serves, and nothing of the world. Swagger UI writes styles.
const POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                      frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

static UI: LazyLock<Arc<Config<'static>>> = LazyLock::new(|| {
    let config = Config::from(DOCUMENT)
        .try_it_out_enabled(true)
        .display_request_duration(true)
        .validator_url("none");
    Arc::new(config)
});
static TEXT: LazyLock<Bytes> = LazyLock::new(|| openapi().to_string().into());

/// The OpenAPI 3.1 document of the JSON form of the rpcs.
pub fn openapi() -> Value {
    openapi::document()
}

/// The routes below `/sw`.
pub(crate) fn router() -> Router {
    Router::new()
        .route("/sw", get(|| async { Redirect::to("/sw/") }))
        .route("/sw/", get(|request| async move { asset("", &request) }))
        .route(DOCUMENT, get(document))
        .route(
            "/sw/{*path}",
            // What is not even text names no file.
            get(
                |path: Result<Path<String>, PathRejection>, request| async move {
                    let path = path.map(|Path(path)| path);
                    asset(path.as_deref().unwrap_or("?"), &request)
                },
            ),
        )
}

async fn document() -> Response {
    respond("application/json", TEXT.clone())
}

fn asset(path: &str, request: &Request) -> Response {
    match utoipa_swagger_ui::serve(path, UI.clone()) {
        Ok(Some(file)) if file.gzpipped => {
            let body = packed::gzip(request.headers(), file.bytes.into_owned().into());
            match body {
                Ok(body) => respond(&file.content_type, body),
                Err(_) => json::not_found(&RequestId::of(request)),
            }
        }
        Ok(Some(file)) => respond(&file.content_type, file.bytes.into_owned()),
        Ok(None) | Err(_) => json::not_found(&RequestId::of(request)),
    }
}

fn respond(media_type: &str, body: impl IntoResponse) -> Response {
    let mut response = body.into_response();
    let headers = response.headers_mut();
    if let Ok(media_type) = HeaderValue::from_str(media_type) {
        headers.insert(CONTENT_TYPE, media_type);
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    response
}
