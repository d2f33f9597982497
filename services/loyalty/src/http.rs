//! `GET /loyalty/{uuid}`, `GET /loyalty/{uuid}/entries`, `POST /loyalty`.

mod caller;
mod document;
mod entries;
mod order;

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Path, State, rejection::PathRejection},
    http::{HeaderValue, StatusCode, header::CACHE_CONTROL},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use sso_service::{Series, web::Problem, web::swagger};
use sso_verifier::Verifier;
use utoipa::ToSchema;
use uuid::Uuid;

use self::{caller::Caller, document::api};
use crate::ledger::Ledger;

/// What handlers need.
pub(crate) struct AppState {
    pub(crate) ledger: Arc<dyn Ledger>,
    pub(crate) verifier: Verifier,
}

type Shared = Arc<AppState>;

/// What is seen of requests.
pub(crate) const SERIES: Series = &[
    ("GET", "/loyalty/{uuid}", "200"),
    ("GET", "/loyalty/{uuid}/entries", "200"),
    ("POST", "/loyalty", "201"),
    ("GET", "/loyalty/ready", "200"),
    ("GET", "/loyalty/healthz", "200"),
    ("GET", "/swagger", "307"),
    ("GET", "/swagger/", "307"),
    ("GET", "/swagger/doc.json", "200"),
    ("GET", "/swagger/{file}", "200"),
    ("GET", "/metrics", "200"),
];

/// All routes, with their document.
pub(crate) fn routes(state: AppState) -> Router {
    let (router, document) = api().split_for_parts();
    router.with_state(Arc::new(state)).merge(swagger(&document))
}

/// A balance.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "status": "Success", "uuid": "0197f2a4-8a3b-7c1e-9f60-2d7f3f1c5b11", "balance": 100,
}))]
#[expect(clippy::struct_field_names, reason = "the contract's name")]
pub(crate) struct Balance {
    /// Always `Success`.
    status: &'static str,
    /// Whose.
    uuid: Uuid,
    /// How many points.
    balance: i64,
}

impl Balance {
    const fn new(uuid: Uuid, balance: i64) -> Self {
        Self {
            status: "Success",
            uuid,
            balance,
        }
    }
}

/// Balance
///
/// A user reads his own, an administrator anyone's.
#[utoipa::path(
    get,
    path = "/loyalty/{uuid}",
    tag = "points",
    params(("uuid" = Uuid, Path, description = "The user's id.")),
    responses(
        (status = 200, description = "The balance.", body = Balance),
        document::Refusals,
        document::NotFound,
    ),
    security(("bearerAuth" = [])),
)]
pub(crate) async fn balance(
    State(state): State<Shared>,
    caller: Caller,
    uuid: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let user = caller.may_read(uuid)?;
    let balance = state.ledger.balance(user).await?;
    let balance = balance.ok_or_else(Problem::not_found)?;
    Ok(fresh(StatusCode::OK, Balance::new(user, balance)))
}

/// An answer that no cache keeps.
fn fresh(status: StatusCode, body: impl Serialize) -> Response {
    let mut response = (status, Json(body)).into_response();
    let never = HeaderValue::from_static("no-store");
    response.headers_mut().insert(CACHE_CONTROL, never);
    response
}
