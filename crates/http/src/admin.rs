//! The operator's listener.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Extension, State},
    http::{HeaderMap, StatusCode, Uri},
    response::{IntoResponse, Response},
    routing::get,
};
use serde::Serialize;
use sso_core::{Failure, FieldError, Fields, Origin, ports::Clock};
use sso_web::{
    RequestId, deadline, host, panics, profile::Snapshot, request_id, request_id::Generator, shield,
};

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

/// Nothing here waits for anything but the end of a profile.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Of a profile, if nothing else is asked for; and at most.
const SECONDS: (u64, u64) = (5, 8);

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

/// `/metrics`, `/auth/ready` with causes, `/auth/healthz`, `/log-level` (GET, PUT `{"level"}`),
/// `/profile?seconds=5`.
pub fn admin_router(state: AdminState) -> Router {
    let router = Router::new()
        .route("/metrics", get(metrics))
        .route("/auth/ready", get(ready))
        .route("/auth/healthz", get(healthz))
        .with_state(state.clone())
        .merge(operator_routes(state.clone()))
        .fallback(async || HttpError::of_status(StatusCode::NOT_FOUND));
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

/// `/log-level` and `/profile`, without what is around them.
pub(crate) fn operator_routes(state: AdminState) -> Router {
    Router::new()
        .route("/log-level", get(level).put(set_level))
        .route("/profile", get(take_profile))
        .with_state(state)
}

async fn metrics(State(state): State<AdminState>, asked: HeaderMap) -> Response {
    text(&state.metrics, &asked)
}

async fn ready(State(state): State<AdminState>, Extension(id): Extension<RequestId>) -> Response {
    answer(state.health.report(), &id, Reader::Operator)
}

/// Where the processor's time went.
#[derive(Serialize)]
struct Profile {
    status: Success,
    seconds: u64,
    /// Of all threads, at work at once on average.
    cores: f64,
    threads: Vec<ThreadBody>,
}

/// The busiest first; those that did nothing are left out.
#[derive(Serialize)]
struct ThreadBody {
    name: String,
    running_ms: f64,
    /// Ready, while others had the processors.
    waiting_ms: f64,
    turns: u64,
}

async fn take_profile(uri: Uri) -> Outcome<Profile> {
    let mut fields = Fields::default();
    let mut asked = uri.query().unwrap_or_default().split('&');
    let asked = asked.find_map(|pair| pair.strip_prefix("seconds="));
    let usual = SECONDS.0.to_string();
    let seconds = fields.required("seconds", Some(asked.unwrap_or(&usual)), |text| {
        let seconds = text.parse::<u64>().ok();
        let seconds = seconds.filter(|seconds| (1..=SECONDS.1).contains(seconds));
        let wrong = || FieldError::new("seconds", "invalid_seconds", "must be from 1 to 8");
        seconds.ok_or_else(wrong)
    });
    let seconds = fields.finish(seconds)?;
    // Kernels without such figures are no fault of the caller's.
    let unknown = |error: std::io::Error| Failure::internal(error);
    let before = Snapshot::take().map_err(unknown)?;
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let threads = Snapshot::take().map_err(unknown)?.since(&before);
    let busy: Duration = threads.iter().map(|thread| thread.running).sum();
    let millis = |time: Duration| time.as_secs_f64() * 1000.0;
    Ok(Reply::ok(Profile {
        status: Success::Success,
        seconds,
        cores: busy.div_duration_f64(Duration::from_secs(seconds)),
        threads: threads
            .into_iter()
            .map(|thread| ThreadBody {
                running_ms: millis(thread.running),
                waiting_ms: millis(thread.waiting),
                turns: thread.turns,
                name: thread.name,
            })
            .collect(),
    }))
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
