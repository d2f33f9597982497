//! With all rules in force the promises hold, and what should be reachable is.

use std::time::Duration;

use sso_model_leases::config::Mode;
use sso_model_leases::search::explore;
use sso_model_leases::settings::{Fault, WORLDS, world};

const PATIENCE: Duration = Duration::from_mins(10);

fn holds(mode: Mode) {
    // Without a failover a quorum is an asynchronous cluster.
    let differs = |faults: &&[Fault]| mode != Mode::Quorum || faults.contains(&Fault::Failover);
    for faults in WORLDS.into_iter().filter(differs) {
        let found = explore(&world(mode, faults), 1, PATIENCE);
        assert!(found.complete, "{mode:?} {faults:?}: not explored whole");
        assert!(
            found.broken.is_empty(),
            "{mode:?} {faults:?}: {:?}",
            found.broken
        );
        assert!(
            found.unreached.is_empty(),
            "{mode:?} {faults:?}: {:?}",
            found.unreached
        );
    }
}

#[test]
fn with_all_rules_a_synchronous_cluster_keeps_every_promise_even_with_a_deposed_primary_that_never_dies()
 {
    holds(Mode::Synchronous);
}

#[test]
fn with_all_rules_an_asynchronous_cluster_keeps_them_while_a_deposed_primary_dies_within_the_fence()
{
    holds(Mode::Asynchronous);
}

#[test]
fn with_all_rules_a_quorum_keeps_them_while_standbys_leave_a_deposed_primary_within_the_fence() {
    holds(Mode::Quorum);
}
