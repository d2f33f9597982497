//! Is it alive, is it ready?

use std::borrow::Cow;

use axum::{
    Json,
    extract::{Extension, State},
    http::{
        StatusCode,
        header::{CACHE_CONTROL, RETRY_AFTER},
    },
    response::{IntoResponse, Response},
};
use serde::Serialize;
use sso_web::{RequestId, rfc3339};
use utoipa::ToSchema;

use super::me::Done;
use crate::{
    health::{DependencyState, HealthReport, ServiceState},
    openapi::errors,
    reply::Reply,
    state::Shared,
};

/// `status` of either.
#[derive(Serialize, ToSchema)]
#[schema(as = StatusOfEither)]
enum Word {
    Success,
    Error,
}

/// How the service is.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "status": "Success",
    "state": "ready",
    "dependencies": [{
        "name": "database",
        "state": "up",
        "since": "2026-03-01T12:00:00.000000Z",
        "detail": null,
    }],
}))]
pub(crate) struct Readiness {
    /// `Success` if it is ready, else `Error`.
    status: Word,
    /// As a whole; `degraded` is ready too.
    state: ServiceState,
    /// Each of its dependencies.
    dependencies: Vec<DependencyBody>,
    /// A sentence, if it is not ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'static str>,
    /// `unavailable`, if it is not ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    /// The id of this request, if it is not ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
}

/// How a dependency is.
#[derive(Serialize, ToSchema)]
#[schema(as = Dependency)]
pub(crate) struct DependencyBody {
    /// Which.
    name: Cow<'static, str>,
    /// How.
    state: DependencyState,
    /// Since when: RFC 3339, UTC, microseconds.
    #[schema(format = DateTime)]
    since: String,
    /// A few words, where there is something to say.
    #[schema(required)]
    detail: Option<String>,
    /// Only on the admin listener.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(ignore)]
    cause: Option<String>,
}

/// Who reads the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reader {
    /// Anybody.
    Public,
    /// The operator.
    Operator,
}

/// The answer to a probe: 200, or 503 with a body that is an error's too.
pub(crate) fn answer(report: HealthReport, id: &RequestId, reader: Reader) -> Response {
    let ready = report.is_ready();
    let dependencies = report.dependencies.into_iter().map(|found| DependencyBody {
        name: found.name,
        state: found.state,
        since: rfc3339(found.since),
        detail: found.detail,
        cause: found.cause.filter(|_| reader == Reader::Operator),
    });
    let body = Readiness {
        status: if ready { Word::Success } else { Word::Error },
        state: report.state,
        dependencies: dependencies.collect(),
        error: (!ready).then_some("not ready"),
        code: (!ready).then_some("unavailable"),
        request_id: (!ready).then(|| id.as_str().to_owned()),
    };
    let uncached = [(CACHE_CONTROL, "no-store")];
    if ready {
        (uncached, Json(body)).into_response()
    } else {
        let later = [(RETRY_AFTER, "1")];
        (StatusCode::SERVICE_UNAVAILABLE, uncached, later, Json(body)).into_response()
    }
}

/// Ready?
///
/// For balancers. Answers from memory, whatever its dependencies do.
#[utoipa::path(
    get,
    path = "/auth/ready",
    tag = "health",
    responses(
        (status = 200, description = "Send requests here.", body = Readiness),
        (
            status = 503, body = Readiness,
            description = "Starting, draining, or unable to validate tokens: send them elsewhere.",
            headers(("retry-after" = u64, description = "Whole seconds, at least 1.")),
            example = json!({
                "status": "Error", "state": "draining", "dependencies": [], "error": "not ready",
                "code": "unavailable", "request_id": "0197f2a4-8a3b-7c1e-9f60-2d7f3f1c5b11",
            }),
        ),
        errors::Always,
    ),
    security(()),
)]
pub(crate) async fn ready(
    State(state): State<Shared>,
    Extension(id): Extension<RequestId>,
) -> Response {
    let reader = match state.admin {
        Some(_) => Reader::Operator,
        None => Reader::Public,
    };
    answer(state.health.report(), &id, reader)
}

/// Alive?
///
/// For supervisors. Touches no dependency: a restart would not mend one.
#[utoipa::path(
    get,
    path = "/auth/healthz",
    tag = "health",
    responses(
        (status = 200, description = "The process is alive.", body = Done),
        errors::Always,
    ),
    security(()),
)]
pub(crate) async fn healthz() -> impl IntoResponse {
    Reply::ok(Done::default())
}
