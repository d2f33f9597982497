//! Looks for counterexamples, the shortest one, or through all there is.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use stateright::{Checker, Expectation, HasDiscoveries, Model};

use crate::config::Config;
use crate::model::{Action, Leases};

/// What a whole exploration found.
#[derive(Debug)]
pub struct Explored {
    /// Whether all of the world was explored.
    pub complete: bool,
    /// Different states.
    pub states: usize,
    /// Steps of the longest path.
    pub depth: usize,
    /// Promises that do not hold.
    pub broken: BTreeSet<&'static str>,
    /// What should be reachable and is not.
    pub unreached: BTreeSet<&'static str>,
}

/// Explores all of a world. `threads` share the work.
pub fn explore(config: &Config, threads: usize, patience: Duration) -> Explored {
    let start = Instant::now();
    let checker = Leases::new(config.clone())
        .checker()
        .threads(threads)
        .timeout(patience)
        .spawn_bfs()
        .join();
    let found: BTreeSet<_> = checker.discoveries().into_keys().collect();
    let properties = checker.model().properties();
    let of = |failure: bool| {
        let kind = properties
            .iter()
            .filter(move |p| (p.expectation == Expectation::Always) == failure);
        kind.map(|property| property.name).collect::<BTreeSet<_>>()
    };
    Explored {
        complete: start.elapsed() < patience,
        states: checker.unique_state_count(),
        depth: checker.max_depth(),
        broken: of(true).intersection(&found).copied().collect(),
        unreached: of(false).difference(&found).copied().collect(),
    }
}

/// A shortest timeline on which the promise breaks; `None` if it holds in all of that world, or within `patience`.
pub fn shortest(config: &Config, promise: &'static str, patience: Duration) -> Option<Vec<Action>> {
    let mut shortest: Option<Vec<Action>> = None;
    loop {
        let mut search = Leases::new(config.clone())
            .checker()
            .timeout(patience)
            .finish_when(HasDiscoveries::AnyOf(BTreeSet::from([promise])));
        if let Some(known) = &shortest {
            // The checker finishes a block of states after it found one, and keeps the last: look again, less deep.
            // A path of n actions has n + 1 states, and the checker's depth excludes its bound.
            search = search.target_max_depth(known.len() + 1);
        }
        let checker = search.spawn_bfs().join();
        match checker.discovery(promise) {
            Some(path) => shortest = Some(path.into_actions()),
            None => return shortest,
        }
    }
}
