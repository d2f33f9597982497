//! How the service is: written by the loops, read by every probe from memory.

use std::sync::{Arc, PoisonError, RwLock};

use sso_core::{ports::Clock, revocation::Revocations};
use sso_http::{DependencyState, HealthReport, ServiceState};

/// What the service depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dependency {
    /// Without it nobody registers or signs in.
    Database,
    /// Without a lease no token is validated.
    Revocation,
    /// Without it events wait in the outbox.
    Events,
    /// Without them new signing keys are not known.
    Keys,
}

impl Dependency {
    const ALL: [Self; 4] = [Self::Database, Self::Revocation, Self::Events, Self::Keys];

    const fn name(self) -> &'static str {
        match self {
            Self::Database => "database",
            Self::Revocation => "revocation",
            Self::Events => "events",
            Self::Keys => "keys",
        }
    }

    /// What its absence means for callers.
    const fn meaning(self) -> &'static str {
        match self {
            Self::Database => "registration, login and refresh are not possible",
            Self::Revocation => "tokens cannot be validated",
            Self::Events => "events wait",
            Self::Keys => "new signing keys are not known",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Starting,
    Serving,
    Draining,
}

/// The newest state of everything.
pub(super) struct Health {
    clock: Arc<dyn Clock>,
    revocations: Arc<Revocations>,
    seen: RwLock<Seen>,
}

struct Seen {
    phase: Phase,
    dependencies: [sso_http::Dependency; 4],
}

impl Health {
    /// Starting; no dependency has answered yet.
    pub(super) fn new(clock: Arc<dyn Clock>, revocations: Arc<Revocations>) -> Self {
        let since = clock.now();
        let unknown = |dependency: Dependency| sso_http::Dependency {
            name: dependency.name(),
            state: DependencyState::Down,
            since,
            detail: Some(dependency.meaning().to_owned()),
            cause: None,
        };
        let seen = Seen {
            phase: Phase::Starting,
            dependencies: Dependency::ALL.map(unknown),
        };
        Self {
            clock,
            revocations,
            seen: RwLock::new(seen),
        }
    }

    /// Records how a dependency is: `None` is well. Logs when that changes.
    pub(super) fn set(&self, dependency: Dependency, problem: Option<&str>) {
        let state = if problem.is_some() {
            DependencyState::Down
        } else {
            DependencyState::Up
        };
        let mut seen = self.seen.write().unwrap_or_else(PoisonError::into_inner);
        let starting = seen.phase == Phase::Starting;
        let found = &mut seen.dependencies[dependency as usize];
        if found.state != state {
            found.since = self.clock.now();
            match problem {
                Some(problem) => {
                    tracing::error!(dependency = found.name, problem, "a dependency is down");
                }
                None if starting => {}
                None => {
                    tracing::info!(dependency = found.name, "a dependency is up again");
                }
            }
        }
        found.state = state;
        found.detail = problem.map(|_| dependency.meaning().to_owned());
        found.cause = problem.map(str::to_owned);
    }

    /// What an operator should know of a dependency that is well.
    pub(super) fn describe(&self, dependency: Dependency, state: String) {
        let mut seen = self.seen.write().unwrap_or_else(PoisonError::into_inner);
        seen.dependencies[dependency as usize].cause = Some(state);
    }

    /// The first beat was answered.
    pub(super) fn all_up(&self) {
        for dependency in Dependency::ALL {
            self.set(dependency, None);
        }
    }

    /// From now on requests are welcome.
    pub(super) fn serving(&self) {
        self.enter(Phase::Serving);
    }

    /// From now on they are not.
    pub(super) fn draining(&self) {
        self.enter(Phase::Draining);
    }

    fn enter(&self, phase: Phase) {
        self.seen
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .phase = phase;
    }
}

impl sso_http::Health for Health {
    fn report(&self) -> HealthReport {
        let seen = self.seen.read().unwrap_or_else(PoisonError::into_inner);
        let all_up = seen
            .dependencies
            .iter()
            .all(|found| found.state == DependencyState::Up);
        HealthReport {
            state: match seen.phase {
                Phase::Starting => ServiceState::Starting,
                Phase::Draining => ServiceState::Draining,
                Phase::Serving if all_up => ServiceState::Ready,
                Phase::Serving => ServiceState::Degraded,
            },
            can_validate: self.revocations.is_trusted(),
            dependencies: seen.dependencies.to_vec(),
        }
    }
}
