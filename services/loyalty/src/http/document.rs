//! The document of the API, made from its handlers.

use sso_service::web::{ErrorBody, FieldBody};
use utoipa::{
    IntoResponses, OpenApi,
    openapi::security::{Http, HttpAuthScheme, SecurityScheme},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Shared, entries, order};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "loyalty",
        description = "Points of the users of `sso`. Who calls shows an access token of `sso`, as \
                       `Bearer <token>` or bare.",
        license(name = "Apache-2.0 OR MIT", identifier = "Apache-2.0 OR MIT"),
    ),
    servers((url = "/", description = "This server")),
    tags((name = "points", description = "Balances, and what changes them.")),
    components(schemas(ErrorBody, FieldBody)),
)]
struct Document;

/// What a caller is told whose token is not good or not enough, who says too much, and when we cannot.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "shapes for the document")]
pub(crate) enum Refusals {
    /// `invalid_token`, `wrong_token_type`, `token_expired`, `token_revoked`.
    #[response(status = 401)]
    Unauthenticated(ErrorBody),
    /// `forbidden`: another user's account, or a deposit.
    #[response(status = 403)]
    Forbidden(ErrorBody),
    /// `payload_too_large`: the body is longer than 64 KiB.
    #[response(status = 413)]
    TooLarge(ErrorBody),
    /// `internal`.
    #[response(status = 500)]
    Internal(ErrorBody),
    /// `unavailable`: try again after `Retry-After`.
    #[response(status = 503)]
    Unavailable(ErrorBody),
    /// `deadline_exceeded`.
    #[response(status = 504)]
    Late(ErrorBody),
}

/// There is no such account.
#[derive(IntoResponses)]
#[response(status = 404, description = "`not_found`: there is no such account.")]
pub(crate) struct NotFound(
    #[expect(dead_code, reason = "a shape")]
    #[to_schema]
    ErrorBody,
);

/// The request is not valid.
#[derive(IntoResponses)]
#[response(
    status = 400,
    description = "The request is not valid; every bad field is named."
)]
pub(crate) struct BadRequest(
    #[expect(dead_code, reason = "a shape")]
    #[to_schema]
    ErrorBody,
);

/// The body is something else.
#[derive(IntoResponses)]
#[response(
    status = 415,
    description = "`unsupported_media_type`: the body is not `application/json`."
)]
pub(crate) struct OtherMedia(
    #[expect(dead_code, reason = "a shape")]
    #[to_schema]
    ErrorBody,
);

/// Not as things are.
#[derive(IntoResponses)]
#[response(
    status = 409,
    description = "`insufficient_balance`, `balance_limit`, `idempotency_key_reused`."
)]
pub(crate) struct Conflict(
    #[expect(dead_code, reason = "a shape")]
    #[to_schema]
    ErrorBody,
);

/// Every route with its document.
pub(super) fn api() -> OpenApiRouter<Shared> {
    let mut api = OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(super::balance))
        .routes(routes!(entries::entries))
        .routes(routes!(order::post));
    let document = api.get_openapi_mut();
    // What is taken from the manifest when nothing is said: nobody.
    document.info.contact = None;
    let scheme = Http::builder()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("JWT")
        .description(Some("The access token."))
        .build();
    if let Some(components) = &mut document.components {
        components.add_security_scheme("bearerAuth", SecurityScheme::Http(scheme));
    }
    api
}
