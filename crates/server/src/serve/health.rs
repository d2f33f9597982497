//! How the service is: written by the loops, read by every probe from memory.

use std::{
    borrow::Cow,
    sync::{Arc, PoisonError, RwLock},
};

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
    /// Without it events wait in the outbox.
    Kafka,
    /// Without it the first event after a start waits.
    Registry,
    /// Without it revocations take some beats.
    Redis,
    /// A replica, by its place in the configuration. Without it others carry its reads.
    Replica(usize),
}

impl Dependency {
    /// Those of every installation.
    const ALWAYS: [Self; 4] = [Self::Database, Self::Revocation, Self::Events, Self::Keys];

    fn name(self) -> Cow<'static, str> {
        let name = match self {
            Self::Database => "database",
            Self::Revocation => "revocation",
            Self::Events => "events",
            Self::Keys => "keys",
            Self::Kafka => "kafka",
            Self::Registry => "registry",
            Self::Redis => "redis",
            Self::Replica(at) => return format!("replica-{}", at + 1).into(),
        };
        name.into()
    }

    /// What its absence means for callers.
    const fn meaning(self) -> &'static str {
        match self {
            Self::Database => "registration, login and refresh are not possible",
            Self::Revocation => "tokens cannot be validated",
            Self::Events | Self::Kafka => "events wait",
            Self::Keys => "new signing keys are not known",
            Self::Registry => "after a start events wait",
            Self::Redis => {
                "revocations reach everywhere some beats later, instances throttle alone"
            }
            Self::Replica(_) => "it is not read: other servers carry its reads",
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
    dependencies: Vec<(Dependency, sso_http::Dependency)>,
}

impl Health {
    /// Starting; no dependency has answered yet. `others` are those that this installation has
    /// beside what every one has.
    pub(super) fn new(
        clock: Arc<dyn Clock>,
        revocations: Arc<Revocations>,
        others: &[Dependency],
    ) -> Self {
        let since = clock.now();
        let unknown = |dependency: &Dependency| {
            let described = sso_http::Dependency {
                name: dependency.name(),
                state: DependencyState::Down,
                since,
                detail: Some(dependency.meaning().to_owned()),
                cause: None,
            };
            (*dependency, described)
        };
        let seen = Seen {
            phase: Phase::Starting,
            dependencies: Dependency::ALWAYS
                .iter()
                .chain(others)
                .map(unknown)
                .collect(),
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
        let mut all = seen.dependencies.iter_mut();
        let Some((_, found)) = all.find(|(known, _)| *known == dependency) else {
            return;
        };
        // Nobody has looked yet.
        let unknown = found.state == DependencyState::Down && found.cause.is_none();
        if found.state != state {
            found.since = self.clock.now();
            match problem {
                Some(problem) => {
                    tracing::error!(dependency = &*found.name, problem, "a dependency is down");
                }
                None if starting || unknown => {}
                None => {
                    tracing::info!(dependency = &*found.name, "a dependency is up again");
                }
            }
        }
        if unknown && let Some(problem) = problem {
            tracing::error!(dependency = &*found.name, problem, "a dependency is down");
        }
        found.state = state;
        found.detail = problem.map(|_| dependency.meaning().to_owned());
        found.cause = problem.map(str::to_owned);
    }

    /// What an operator should know of a dependency that is well.
    pub(super) fn describe(&self, dependency: Dependency, state: String) {
        let mut seen = self.seen.write().unwrap_or_else(PoisonError::into_inner);
        let mut all = seen.dependencies.iter_mut();
        if let Some((_, found)) = all.find(|(known, _)| *known == dependency) {
            found.cause = Some(state);
        }
    }

    /// The first beat was answered: what every installation has is there.
    pub(super) fn all_up(&self) {
        for dependency in Dependency::ALWAYS {
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
            .all(|(_, found)| found.state == DependencyState::Up);
        HealthReport {
            state: match seen.phase {
                Phase::Starting => ServiceState::Starting,
                Phase::Draining => ServiceState::Draining,
                Phase::Serving if all_up => ServiceState::Ready,
                Phase::Serving => ServiceState::Degraded,
            },
            can_validate: self.revocations.is_trusted(),
            dependencies: seen
                .dependencies
                .iter()
                .map(|(_, found)| found.clone())
                .collect(),
        }
    }
}
