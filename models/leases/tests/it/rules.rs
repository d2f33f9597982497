//! Each rule taken out fails in the setting that needs it, and holds there while it is in force.

use std::time::Duration;

use sso_model_leases::Leases;
use sso_model_leases::config::Mode;
use sso_model_leases::properties::AFTER_EVERYWHERE;
use sso_model_leases::rules::{Rule, Rules};
use sso_model_leases::search::shortest;
use sso_model_leases::settings::{Fault, setting, world};

const PATIENCE: Duration = Duration::from_mins(5);

fn is_needed(rule: Rule) {
    let setting = setting(rule);
    let world = setting.broken(setting.mode, rule);
    let found = shortest(&world, setting.promise, PATIENCE);
    assert!(
        found.is_some(),
        "{} can be left out: {world:?}",
        rule.name()
    );
    // Those that are left out with it are not what breaks it. (Two beats at a time are minutes: not here.)
    if !setting.with.is_empty() && !setting.with.contains(&Rule::OneBeatAtATime) {
        let kept = setting.whole(setting.mode).without(setting.with);
        let found = shortest(&kept, setting.promise, PATIENCE);
        assert_eq!(
            found.map(|path| Leases::new(kept).tell(&path)),
            None,
            "{}",
            rule.name()
        );
    }
}

macro_rules! each_rule_is_needed {
    ($($test:ident: $rule:ident,)*) => {
        $(#[test] fn $test() { is_needed(Rule::$rule); })*

        #[test]
        fn every_rule_has_its_test() {
            let tested = [$(Rule::$rule),*];
            for rule in Rule::ALL {
                assert!(tested.contains(&rule), "{}", rule.name());
            }
        }
    };
}

each_rule_is_needed! {
    a_reader_must_register_before_it_loads: RegisterBeforeLoad,
    a_lease_must_count_from_the_moment_of_sending: LeaseFromSending,
    a_beat_that_finds_no_row_must_give_no_lease: BeatNeedsRow,
    a_beat_that_finds_no_row_must_not_insert_one: BeatNeverInserts,
    a_load_must_be_a_committed_beat: LoadIsBeat,
    a_beat_must_commit_synchronously: BeatCommitsSynchronously,
    an_answer_must_not_count_before_its_commit_is_done: AwaitReady,
    a_question_must_name_its_timeline: QuestionNamesTimeline,
    the_timeline_of_an_answer_must_be_compared: AnswerTimeline,
    there_must_be_one_beat_at_a_time: OneBeatAtATime,
    what_a_reader_holds_must_be_written_back: WriteBackAtRegistration,
    a_reload_must_not_take_entries_away: UnionOnReload,
    a_question_must_ask_by_snapshot_and_not_by_last_id: SnapshotNotLastId,
    only_a_snapshot_of_this_timeline_must_confirm: ConfirmThisTimeline,
    nothing_must_be_answered_early_on_a_new_timeline: NothingEarlyOnNewTimeline,
    nothing_must_be_answered_early_after_a_start: NothingEarlyAfterStart,
    what_was_seen_before_commit_must_not_count: OnlyAfterCommit,
    the_bound_must_be_longer_than_the_lease: BoundLongerThanLease,
    the_bound_must_be_enough_by_itself: TimerAlone,
    a_janitor_must_go_by_its_own_clock: JanitorOwnClock,
    a_janitor_must_delete_the_beat_that_it_saw: JanitorBeatSeen,
    an_asynchronous_everywhere_must_wait_for_the_standbys: StandbyFlush,
    a_standby_that_does_not_stream_must_withhold_everywhere: AbsentStandbyWithholds,
    a_standby_that_left_must_keep_its_primary_quiet: DepartureIsQuiet,
    the_fence_must_hold_back_the_timer_too: TimerWaitsForFence,
    the_bound_must_start_again_on_a_new_timeline: BoundStartsAgain,
    a_lost_commit_must_be_looked_up_by_a_commit: LookupCommits,
    a_readers_id_must_belong_to_one_process: IdPerProcess,
    each_registration_must_have_its_own_id: IdPerRegistration,
    a_reader_must_stop_trusting_before_it_deletes_its_row: StopBeforeDelete,
    a_validation_must_read_the_lease_last: LeaseLast,
}

#[test]
fn a_bound_of_exactly_the_lease_holds_without_drift_and_a_tick_less_does_not() {
    let exact = world(Mode::Synchronous, &[]).with(|config| config.margin = 0);
    assert_eq!(shortest(&exact, AFTER_EVERYWHERE, PATIENCE), None);
    let short = world(Mode::Synchronous, &[]).with(|config| config.margin = -1);
    assert!(shortest(&short, AFTER_EVERYWHERE, PATIENCE).is_some());
}

#[test]
fn a_quorum_needs_the_standbys_flush_as_an_asynchronous_cluster_does() {
    let world = world(Mode::Quorum, &[Fault::Failover]).without(&[Rule::StandbyFlush]);
    assert!(shortest(&world, AFTER_EVERYWHERE, PATIENCE).is_some());
}

#[test]
fn rules_are_known_by_their_names() {
    assert_eq!(Rule::LoadIsBeat.name(), "load-is-beat");
    for rule in Rule::ALL {
        assert_eq!(Rule::named(&rule.name()), Some(rule));
        assert!(Rules::all().has(rule) && !Rules::all().without(rule).has(rule));
    }
}
