use std::{sync::Arc, time::Duration};

use axum::http::HeaderValue;
use serde_json::Value;
use sso_core::Sso;
use sso_web::{rate::Rates, request_id::Generator};

use crate::{admin::AdminState, health::Health};

/// Renders the metrics for a scraper whose header `Accept` is this.
pub type Metrics = Arc<dyn Fn(Option<&str>) -> Rendered + Send + Sync>;

/// A page of metrics.
#[derive(Debug, Clone)]
pub struct Rendered {
    /// Its media type.
    pub content_type: &'static str,
    /// The page.
    pub text: String,
}

/// Makes the JSON Web Key Set of the public keys, from memory.
pub type Jwks = Arc<dyn Fn() -> Value + Send + Sync>;

/// What the routes work with.
#[derive(Clone)]
pub struct HttpState {
    /// The use cases' world.
    pub sso: Sso,
    /// How the service is; kept up to date by the server.
    pub health: Arc<dyn Health>,
    /// The public keys.
    pub jwks: Jwks,
    /// How long others may keep them: what rotation waits for.
    pub jwks_max_age: Duration,
    /// `GET /metrics`, where this listener has it.
    pub metrics: Option<Metrics>,
    /// Development mode, which has no admin listener: its other routes, and causes in `/auth/ready`.
    pub admin: Option<AdminState>,
    /// Makes request ids.
    pub new_request_id: Generator,
    /// From a request's head to its answer's; 10 s by contract.
    pub request_timeout: Duration,
    /// Origins of the web pages whose scripts may use the API, as browsers send them.
    pub cors_origins: Vec<HeaderValue>,
    /// How often one address may ask one route; `None`: as often as it likes.
    pub rates: Option<Arc<Rates>>,
    /// Development mode: other hosts than this machine's are answered with 421.
    pub loopback_only: bool,
}

/// The state as handlers take it.
pub(crate) type Shared = Arc<HttpState>;
