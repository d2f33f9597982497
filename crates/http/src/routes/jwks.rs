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
    "kid": "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k",
    "use": "sig",
    "alg": "EdDSA",
}]}))]
pub(crate) struct JwkSet {
    /// Empty where tokens are signed with a shared secret only.
    keys: Vec<Jwk>,
}

/// A public key: RFC 8037 for Ed25519, RFC 7518, 6.2 and 6.3, for the others.
#[derive(Serialize, ToSchema)]
pub(crate) struct Jwk {
    /// Key type: `OKP`, `EC` or `RSA`.
    kty: String,
    /// Curve of `OKP` (`Ed25519`) and `EC` (`P-256`).
    #[schema(required = false, nullable = false)]
    crv: Option<String>,
    /// The public key of `OKP`, a coordinate of `EC`; base64url.
    #[schema(required = false, nullable = false)]
    x: Option<String>,
    /// The other coordinate of `EC`; base64url.
    #[schema(required = false, nullable = false)]
    y: Option<String>,
    /// The modulus of `RSA`; base64url.
    #[schema(required = false, nullable = false)]
    n: Option<String>,
    /// The exponent of `RSA`; base64url.
    #[schema(required = false, nullable = false)]
    e: Option<String>,
    /// Key id: a token's header names it.
    kid: String,
    /// `sig`.
    #[serde(rename = "use")]
    r#use: String,
    /// `EdDSA`, `ES256` or `RS256`: a token of this key has it.
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
