//! Health, as the server reports it and clients read it.

use std::borrow::Cow;

use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;

/// How the service is. Asked at every probe, so it must answer from memory: the server keeps it up
/// to date.
pub trait Health: Send + Sync {
    /// The newest report.
    fn report(&self) -> HealthReport;
}

/// The state of the service as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ServiceState {
    /// All is well.
    Ready,
    /// It serves, but a dependency is away: something is slower or held back.
    Degraded,
    /// Not yet.
    Starting,
    /// Not any more.
    Draining,
}

/// The state of a dependency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DependencyState {
    /// It answers.
    Up,
    /// It does not.
    Down,
}

/// What the server knows of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthReport {
    /// As a whole.
    pub state: ServiceState,
    /// Whether tokens can be validated now. If not, the service is not ready whatever its state.
    pub can_validate: bool,
    /// Each of its dependencies.
    pub dependencies: Vec<Dependency>,
}

/// A dependency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependency {
    /// `database`, `redis`, `kafka`, `replica-1`, ...
    pub name: Cow<'static, str>,
    /// Now.
    pub state: DependencyState,
    /// Since when it is in this state.
    pub since: OffsetDateTime,
    /// A few words that anybody may read: no hosts, no versions.
    pub detail: Option<String>,
    /// What the operator needs to know; shown on the admin listener only.
    pub cause: Option<String>,
}

impl HealthReport {
    /// Whether a balancer should send requests here.
    pub fn is_ready(&self) -> bool {
        match self.state {
            ServiceState::Ready | ServiceState::Degraded => self.can_validate,
            ServiceState::Starting | ServiceState::Draining => false,
        }
    }
}
