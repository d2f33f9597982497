//! A whole service that knows who is calling: `GET /whoami` with an access token of `sso`.
//!
//! `sso` must know the service as a caller, by the digest of its token:
//!
//! ```text
//! export SSO_CALLER_TOKEN=$(openssl rand -hex 32)
//! digest=$(printf %s "$SSO_CALLER_TOKEN" | sha256sum | cut -d' ' -f1)
//! callers="[{name='whoami', token_sha256='$digest', scopes=['auth', 'revocations:read']}]"
//! sso --dev --set "grpc.callers=$callers" &
//! SSO_ISSUER=http://127.0.0.1:8000 SSO_GRPC_URL=http://127.0.0.1:44044 \
//!     cargo run -p sso-verifier --example whoami
//! curl -H "Authorization: Bearer $ACCESS_TOKEN" http://127.0.0.1:8080/whoami
//! ```

use std::{env, error::Error};

use axum::{Extension, Json, Router, http::StatusCode, routing::get};
use serde_json::{Value, json};
use sso_verifier::{Claims, Verifier};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut builder = Verifier::builder(env::var("SSO_ISSUER")?);
    for url in env::var("SSO_GRPC_URL")?.split(',') {
        builder = builder.grpc_url(url.trim());
    }
    if let Ok(url) = env::var("SSO_JWKS_URL") {
        builder = builder.jwks_url(url);
    }
    if let Ok(token) = env::var("SSO_CALLER_TOKEN") {
        builder = builder.caller_token(token);
    }
    let verifier = builder.build().await?;
    let listen = env::var("WHOAMI_LISTEN").unwrap_or_else(|_| "127.0.0.1:8080".to_owned());
    let listener = TcpListener::bind(listen).await?;
    axum::serve(listener, router(verifier)).await?;
    Ok(())
}

/// The routes: one that anybody may ask, and one behind the verifier.
pub(crate) fn router(verifier: Verifier) -> Router {
    let guarded = Router::new()
        .route("/whoami", get(whoami))
        .layer(verifier.http_layer());
    let ready = move || async move {
        if verifier.ready() {
            (StatusCode::OK, "ready")
        } else {
            (StatusCode::SERVICE_UNAVAILABLE, "not ready")
        }
    };
    Router::new().route("/ready", get(ready)).merge(guarded)
}

async fn whoami(Extension(claims): Extension<Claims>) -> Json<Value> {
    Json(json!({
        "user_id": claims.user_id,
        "email": &*claims.email,
        "is_admin": claims.is_admin,
    }))
}
