//! Swagger UI, all of it from the binary.

use std::sync::Arc;

use axum::{
    Router,
    body::Bytes,
    extract::{Path, rejection::PathRejection},
    http::{
        HeaderMap, HeaderName,
        header::{
            CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_FRAME_OPTIONS,
        },
    },
    response::{IntoResponse, Redirect, Response},
    routing::get,
};
use sso_web::packed;
use utoipa::openapi::OpenApi;
use utoipa_swagger_ui::Config;

use super::Problem;

/// The UI loads and calls this service only. Its styles are inline in part; its icons are `data:`.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
    img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'";

/// The document may change with each start, the UI's files with each release.
const FRESH: &str = "no-cache";
const KEPT: &str = "public, max-age=3600";

/// The UI at `/swagger/index.html`, its document at `/swagger/doc.json`.
pub fn swagger(document: &OpenApi) -> Router {
    let document = Bytes::from(serde_json::to_vec(document).unwrap_or_default());
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

fn asset(name: &str, asked: &HeaderMap, config: Arc<Config<'static>>) -> Result<Response, Problem> {
    let missing = || Problem::not_found();
    if name.is_empty() {
        // The library would show its index.
        return Err(missing());
    }
    let file = utoipa_swagger_ui::serve(name, config)
        .map_err(|error| Problem::internal(error.to_string()))?
        .ok_or_else(missing)?;
    let cache = if name == "swagger-initializer.js" {
        FRESH
    } else {
        KEPT
    };
    let bytes = Bytes::from(file.bytes.into_owned());
    let body = if file.gzpipped {
        packed::gzip(asked, bytes).map_err(|error| Problem::internal(error.to_string()))?
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
