//! Swagger UI, all of it from the binary. What is not there is answered without a body: the server's
//! own layer writes its error.

use std::sync::Arc;

use axum::{
    Router,
    body::Bytes,
    extract::{Path, rejection::PathRejection},
    http::{
        HeaderMap, HeaderName, StatusCode,
        header::{
            CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_FRAME_OPTIONS,
        },
    },
    response::{IntoResponse, Redirect, Response},
    routing::get,
};
use utoipa::openapi::OpenApi;
use utoipa_swagger_ui::Config;

use crate::packed;

/// The UI loads and calls this service only. Its styles are inline in part; its icons are `data:`.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
    img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'";

/// The document may change with each start, the UI's files with each release.
const FRESH: &str = "no-cache";
const KEPT: &str = "public, max-age=3600";

/// The UI at `/swagger/index.html`, its document at `/swagger/doc.json`.
pub fn router(document: &OpenApi) -> Router {
    let document = Bytes::from(document.to_json().unwrap_or_default());
    let config = Arc::new(
        Config::from("doc.json")
            .try_it_out_enabled(true)
            .display_request_duration(true)
            .deep_linking(true)
            .validator_url("none"),
    );
    let index = async || Redirect::temporary("/swagger/index.html");
    Router::new()
        .route("/swagger", get(index))
        .route("/swagger/", get(index))
        .route(
            "/swagger/doc.json",
            get(async move || answer("application/json", FRESH, document)),
        )
        .route(
            "/swagger/{file}",
            get(
                async move |file: Result<Path<String>, PathRejection>, asked: HeaderMap| {
                    let file = file.map(|Path(file)| file).unwrap_or_default();
                    asset(&file, &asked, config)
                },
            ),
        )
}

fn asset(
    name: &str,
    asked: &HeaderMap,
    config: Arc<Config<'static>>,
) -> Result<Response, StatusCode> {
    if name.is_empty() {
        // The library would show its index.
        return Err(StatusCode::NOT_FOUND);
    }
    let file = utoipa_swagger_ui::serve(name, config).map_err(|error| {
        tracing::error!(%error, "a file of Swagger UI cannot be made");
        StatusCode::INTERNAL_SERVER_ERROR
    })?;
    let file = file.ok_or(StatusCode::NOT_FOUND)?;
    let cache = if name == "swagger-initializer.js" {
        FRESH
    } else {
        KEPT
    };
    let bytes = Bytes::from(file.bytes.into_owned());
    let body = if file.gzpipped {
        packed::gzip(asked, bytes).map_err(|error| {
            tracing::error!(%error, "a file of Swagger UI cannot be unpacked");
            StatusCode::INTERNAL_SERVER_ERROR
        })?
    } else {
        bytes.into_response()
    };
    Ok(answer(&file.content_type, cache, body))
}

fn answer(content_type: &str, cache: &'static str, body: impl IntoResponse) -> Response {
    let headers: [(HeaderName, &str); 5] = [
        (CONTENT_TYPE, content_type),
        (CACHE_CONTROL, cache),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
    ];
    (headers, body).into_response()
}
