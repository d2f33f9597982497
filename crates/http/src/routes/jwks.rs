use axum::{
    Json,
    extract::State,
    http::header::CACHE_CONTROL,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{openapi::errors, state::Shared};

/// A JSON Web Key Set (RFC 7517, section 5).
#[derive(Serialize, ToSchema)]
pub(crate) struct JwkSet {
    /// Empty where tokens are signed with a shared secret only.
    keys: Vec<Jwk>,
}

/// A public key (RFC 8037 for Ed25519).
#[derive(Serialize, ToSchema)]
pub(crate) struct Jwk {
    /// Key type.
    #[schema(example = "OKP")]
    kty: String,
    /// Curve.
    #[schema(example = "Ed25519")]
    crv: String,
    /// The public key, base64url.
    #[schema(example = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo")]
    x: String,
    /// Key id: a token's header names it.
    kid: String,
    /// `sig`.
    #[serde(rename = "use")]
    #[schema(example = "sig")]
    r#use: String,
    /// Algorithm.
    #[schema(example = "EdDSA")]
    alg: String,
}

/// Public keys
///
/// Verifies access tokens without asking this service. Keep it no longer than its `max-age`: a new
/// key is published that long before it signs.
#[utoipa::path(
    get,
    path = "/.well-known/jwks.json",
    tag = "keys",
    responses(
        (
            status = 200, description = "The public keys.", body = JwkSet,
            headers(("cache-control" = String, description = "`public, max-age=<seconds>`")),
        ),
        errors::Always,
    ),
    security(()),
)]
pub(crate) async fn jwks(State(state): State<Shared>) -> Response {
    let max_age = format!("public, max-age={}", state.jwks_max_age.as_secs());
    ([(CACHE_CONTROL, max_age)], Json((state.jwks)())).into_response()
}
