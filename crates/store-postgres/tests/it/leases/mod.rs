//! The protocol of the leases on real servers.
//!
//! Instances live in this process; each has a clock of its own that a test moves on, and sends a
//! beat when the test says so. A gate in the database holds a beat inside its statement: its
//! snapshot is taken, its row is locked, it has not committed.
//!
//! The timelines that taught the rules, each of which the model in `models/leases` also finds without
//! its rule, and what stages them here. W revokes x, R reads.
//!
//! | timeline | staged by |
//! |---|---|
//! | 1 x is lost with an asynchronous primary | [`failover::what_no_standby_has_is_not_everywhere_however_long_it_takes`], [`failover::what_a_failover_lost_is_written_back_and_nothing_is_answered_early`] |
//! | 2 a deposed primary renews R's lease | [`failover::behind_a_synchronous_standby_a_deposed_primary_gives_no_lease`]; asynchronous it does until `fence`, and [`failover::just_after_a_failover_the_bound_alone_is_not_everywhere`] |
//! | 3 two beats in flight meet a number used again | [`failover::a_question_of_the_old_timeline_gives_no_lease_on_the_new_one`]; not the second beat: a process has one connection for beats and a lock on it, and one that was given up stays with the server that it was sent to |
//! | 4 the load is a read | [`failover::a_load_that_reaches_no_standby_gives_no_lease`] |
//! | 5 a row watched from before the commit | [`timelines::what_was_seen_before_the_commit_counts_for_nothing_and_a_renewed_row_is_not_deleted`] |
//! | 6 the janitor goes by `now()`, or by id alone | the same; [`acknowledgements::who_is_frozen_for_less_than_his_lease_is_waited_for`] |
//! | 7 R registers after its load | [`timelines::who_loads_is_registered_already`] |
//! | 8 R's answers are lost for ever | [`timelines::a_row_that_changes_and_never_shows_it_is_waited_for_no_longer_than_the_bound`] |
//!
//! Whole services go through the same in `sso-server`: three instances of it (`postgres::revoked`), and
//! a Patroni cluster (`cluster`).

mod acknowledgements;
mod beats;
mod failover;
pub(crate) mod instance;
mod timelines;
mod world;
mod written_back;

use std::time::Duration;

use sso_testkit::patience::eventually;

/// `L` of the tests: long enough for a busy machine, and most of it passes on clocks that are
/// moved by hand.
const LEASE: Duration = Duration::from_secs(20);
const FENCE: Duration = Duration::from_secs(1);
/// Longer than 1.2 L.
const BOUND: Duration = Duration::from_millis(24_100);
/// 1.2 L + fence, and a little.
const QUIET: Duration = Duration::from_millis(25_200);
