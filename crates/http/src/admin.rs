//! The operator's listener.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Extension, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::get,
};
use serde::Serialize;
use sso_core::{FieldError, Origin, ports::Clock};
use sso_web::{RequestId, deadline, host, panics, request_id, request_id::Generator, shield};

use crate::{
    caller::Anonymous,
    error::HttpError,
    health::Health,
    members::Object,
    observe,
    reply::{Outcome, Reply, Success},
    routes::{
        health::{Reader, answer, healthz},
        metrics::text,
    },
    state::Metrics,
};

/// Nothing here waits for anything.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What decides which events are logged.
pub trait LogLevel: Send + Sync {
    /// The filter in force, e.g. `info,sso_http=debug`.
    fn get(&self) -> String;

    /// Puts another one in force, at the wish of whoever is `by`; or says in a sentence why not.
    fn set(&self, filter: &str, by: Origin) -> Result<(), String>;
}

/// What the admin routes work with.
#[derive(Clone)]
pub struct AdminState {
    /// How the service is.
    pub health: Arc<dyn Health>,
    /// `GET /metrics`.
    pub metrics: Metrics,
    /// `GET` and `PUT /log-level`.
    pub log_level: Arc<dyn LogLevel>,
    /// Makes request ids.
    pub new_request_id: Generator,
    /// Measures requests.
    pub clock: Arc<dyn Clock>,
    /// Where it listens on loopback: other hosts are answered with 421, so that no web page reaches
    /// it through the operator's browser.
    pub loopback_only: bool,
}

/// `/metrics`, `/auth/ready` with causes, `/auth/healthz`, `/log-level` (GET, PUT `{"level"}`).
pub fn admin_router(state: AdminState) -> Router {
    let router = Router::new()
        .route("/metrics", get(metrics))
        .route("/auth/ready", get(ready))
        .route("/auth/healthz", get(healthz))
        .route("/log-level", get(level).put(set_level))
        .fallback(async || HttpError::of_status(StatusCode::NOT_FOUND))
        .with_state(state.clone());
    // From the inside out.
    let router = panics::layer(router, |_| HttpError::broken().into_response());
    let router = deadline::layer(router, TIMEOUT, |_| HttpError::late().into_response());
    let router = if state.loopback_only {
        host::require_loopback(router, |_| HttpError::misdirected().into_response())
    } else {
        router
    };
    let router = observe::layer_unmeasured(router, state.clock);
    request_id::layer(shield::layer(router), state.new_request_id)
}

async fn metrics(State(state): State<AdminState>, asked: HeaderMap) -> Response {
    text(&state.metrics, &asked)
}

async fn ready(State(state): State<AdminState>, Extension(id): Extension<RequestId>) -> Response {
    answer(state.health.report(), &id, Reader::Operator)
}

#[derive(Serialize)]
struct Level {
    status: Success,
    level: String,
}

impl Level {
    fn of(state: &AdminState) -> Reply<Self> {
        Reply::ok(Self {
            status: Success::Success,
            level: state.log_level.get(),
        })
    }
}

async fn level(State(state): State<AdminState>) -> Outcome<Level> {
    Ok(Level::of(&state))
}

async fn set_level(
    State(state): State<AdminState>,
    Anonymous(caller): Anonymous,
    body: Object,
) -> Outcome<Level> {
    let mut members = body.members();
    let wanted = members.text("level");
    let mut fields = members.into_fields();
    let set = fields.required("level", wanted, |wanted| {
        state
            .log_level
            .set(wanted, caller.origin)
            .map_err(|why| FieldError::new("level", "invalid_level", why))
    });
    fields.finish(set)?;
    tracing::info!(level = wanted, "the log level was changed");
    Ok(Level::of(&state))
}
