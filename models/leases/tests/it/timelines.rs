//! The eight timelines that taught the rules: each is found with its rule out, and gone with the rule in force.

use std::time::Duration;

use sso_model_leases::Leases;
use sso_model_leases::config::{Config, Mode};
use sso_model_leases::properties::{AFTER_EVERYWHERE, TIMER_SUFFICES};
use sso_model_leases::rules::Rule;
use sso_model_leases::search::shortest;
use sso_model_leases::settings::{Fault, world};

const PATIENCE: Duration = Duration::from_mins(5);

/// The shortest timeline without the rules, in words; and there is none with them.
#[track_caller]
fn taught(whole: &Config, rules: &[Rule], promise: &'static str) -> String {
    assert_eq!(
        shortest(whole, promise, PATIENCE),
        None,
        "it fails with all rules"
    );
    let broken = whole.clone().without(rules);
    let found = shortest(&broken, promise, PATIENCE);
    assert!(found.is_some(), "it holds without {rules:?}");
    Leases::new(broken)
        .tell(&found.unwrap_or_default())
        .join("\n")
}

#[test]
fn timeline_1_a_revocation_is_lost_with_the_asynchronous_primary() {
    let told = taught(
        &world(Mode::Asynchronous, &[Fault::Failover]),
        &[Rule::StandbyFlush],
        AFTER_EVERYWHERE,
    );
    assert!(
        told.contains("x0 lost") && told.contains("registered on TL2"),
        "{told}"
    );
}

#[test]
fn timeline_2_a_deposed_asynchronous_primary_goes_on_giving_leases() {
    let forever = world(Mode::Asynchronous, &[Fault::DeposedForEver]);
    let found = shortest(&forever, AFTER_EVERYWHERE, PATIENCE).expect("the stated exception");
    let told = Leases::new(forever).tell(&found).join("\n");
    assert!(
        told.contains("W connects to TL2") && told.contains("registered on TL1"),
        "{told}"
    );
    assert_eq!(
        shortest(
            &world(Mode::Asynchronous, &[Fault::Failover]),
            AFTER_EVERYWHERE,
            PATIENCE
        ),
        None
    );
}

#[test]
fn timeline_2_a_deposed_synchronous_primary_gives_none_since_beats_wait_for_the_standby() {
    let whole = world(Mode::Synchronous, &[Fault::DeposedForEver]);
    let told = taught(&whole, &[Rule::BeatCommitsSynchronously], AFTER_EVERYWHERE);
    assert!(told.contains("the old primary lives on"), "{told}");
}

#[test]
fn timeline_3_two_beats_in_flight_meet_a_transaction_id_used_again() {
    let whole = world(Mode::Asynchronous, &[Fault::Loss, Fault::Second]);
    let told = taught(
        &whole,
        &[Rule::OneBeatAtATime, Rule::QuestionNamesTimeline],
        AFTER_EVERYWHERE,
    );
    assert!(
        told.contains("W revokes x1 on TL2: it commits, xid 0"),
        "{told}"
    );
    assert!(told.contains("R ACCEPTS x1"), "{told}");
}

#[test]
fn timeline_4_a_plain_load_trusts_a_deposed_synchronous_primary() {
    let told = taught(
        &world(Mode::Synchronous, &[Fault::Failover]),
        &[Rule::LoadIsBeat],
        AFTER_EVERYWHERE,
    );
    assert!(
        told.contains("its load to TL1: its snapshot is taken"),
        "{told}"
    );
}

#[test]
fn timeline_5_a_row_was_watched_since_before_the_commit() {
    let told = taught(
        &world(Mode::Synchronous, &[]),
        &[Rule::OnlyAfterCommit],
        AFTER_EVERYWHERE,
    );
    assert!(told.contains("W looks at R's row"), "{told}");
}

#[test]
fn timeline_6_a_janitor_deletes_by_the_wrong_clock_or_by_id_alone() {
    let whole = world(Mode::Synchronous, &[Fault::Janitor]);
    for rule in [Rule::JanitorOwnClock, Rule::JanitorBeatSeen] {
        let told = taught(&whole, &[rule], AFTER_EVERYWHERE);
        assert!(told.contains("W deletes R's row on TL1 as dead"), "{told}");
    }
}

#[test]
fn timeline_7_a_reader_registers_after_it_loaded() {
    let told = taught(
        &world(Mode::Synchronous, &[]),
        &[Rule::RegisterBeforeLoad],
        AFTER_EVERYWHERE,
    );
    assert!(told.contains("no row of R"), "{told}");
}

#[test]
fn timeline_8_answers_lost_for_ever_keep_no_one_waiting() {
    let told = taught(
        &world(Mode::Synchronous, &[]),
        &[Rule::TimerAlone],
        TIMER_SUFFICES,
    );
    assert!(told.contains("a tick passes"), "{told}");
}
