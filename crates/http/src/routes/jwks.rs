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
#[schema(example = json!({"keys": [{
    "kty": "OKP",
    "crv": "Ed25519",
    "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
    "kid": "0197f2a4-8a3b-7c1e-9f60-2d7f3f1c5b11",
    "use": "sig",
    "alg": "EdDSA",
}]}))]
pub(crate) struct JwkSet {
    /// Empty where tokens are signed with a shared secret only.
    keys: Vec<Jwk>,
}

/// A public key (RFC 8037 for Ed25519).
#[derive(Serialize, ToSchema)]
pub(crate) struct Jwk {
    /// Key type.
    kty: String,
    /// Curve.
    crv: String,
    /// The public key, base64url.
    x: String,
    /// Key id: a token's header names it.
    kid: String,
    /// `sig`.
    #[serde(rename = "use")]
    r#use: String,
    /// Algorithm.
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
