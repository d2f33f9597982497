//! The worlds: those in which everything holds, and for each rule the one that needs it.

use crate::config::{Config, Deposed, Mode};
use crate::model::Action;
use crate::properties::{AFTER_EVERYWHERE, AGAIN, COMES_BACK, TIMER_SUFFICES};
use crate::rules::Rule;

/// Where a rule is needed.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The mode in which its absence shows.
    pub mode: Mode,
    /// The faults that it takes.
    pub faults: &'static [Fault],
    /// Rules that would stand in for it, and are taken out with it.
    pub with: &'static [Rule],
    /// The promise that breaks.
    pub promise: &'static str,
}

/// A fault that a world may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A failover; the old primary lives as long as the mode's promise allows.
    Failover,
    /// A failover; the old primary lives as long as it likes.
    DeposedForEver,
    /// A failover that has just lost a revocation which the reader holds; the old primary is dead.
    Loss,
    /// Clocks drift.
    Drift,
    /// A second revocation.
    Second,
    /// Dead rows are deleted (no fault, but something that can be done wrongly).
    Janitor,
    /// Questions that were given up go on at the server.
    Orphans,
    /// Nothing tells that the standby is missed when it has left.
    Unslotted,
    /// The reader's process ends and another starts.
    ReaderRestart,
    /// The waiter's does.
    WaiterRestart,
    /// A validation freezes.
    SlowValidation,
}

/// The reader registers and loads, the standby follows, x0 commits, the reader learns it, the failover loses it;
/// waiter and reader have found the new primary.
const LOSS: [Action; 19] = {
    use Action as A;
    [
        A::Ask(1),
        A::Execute(0),
        A::Write(0),
        A::Deliver(0),
        A::Ask(1),
        A::Execute(0),
        A::Write(0),
        A::Deliver(0),
        A::Replicate,
        A::Revoke(0),
        A::Ask(1),
        A::Execute(0),
        A::Write(0),
        A::Deliver(0),
        A::CommitAnswered(0),
        A::Promote,
        A::Meet(2),
        A::Ask(2),
        A::Execute(0),
    ]
};

/// The world with these faults.
pub fn world(mode: Mode, faults: &[Fault]) -> Config {
    let mut config = Config::calm(mode);
    for fault in faults {
        match fault {
            Fault::Failover => config.failover = Config::failover(mode).failover,
            Fault::DeposedForEver => config.failover = Some(Deposed::ForEver),
            Fault::Loss => {
                config.failover = Some(Deposed::Never);
                config.prelude = &LOSS;
            }
            Fault::Drift => config.drift = true,
            Fault::Second => config.revocations = 2,
            Fault::Janitor => config.janitor = true,
            Fault::Orphans => config.orphans = true,
            Fault::Unslotted => config.unslotted = true,
            Fault::ReaderRestart => config.reader_restarts = 1,
            Fault::WaiterRestart => config.waiter_restarts = 1,
            Fault::SlowValidation => config.slow_validation = true,
        }
    }
    config
}

/// The worlds that are explored whole, with all rules in force.
pub const WORLDS: [&[Fault]; 10] = [
    &[Fault::Drift, Fault::SlowValidation, Fault::ReaderRestart],
    &[Fault::ReaderRestart, Fault::WaiterRestart],
    &[Fault::Janitor, Fault::Orphans],
    &[Fault::Janitor, Fault::Drift],
    &[Fault::Second],
    &[Fault::Failover, Fault::Drift],
    &[Fault::Failover, Fault::ReaderRestart],
    &[Fault::Failover, Fault::WaiterRestart],
    &[Fault::Failover, Fault::Janitor],
    &[Fault::Failover, Fault::Unslotted, Fault::WaiterRestart],
];

/// The large ones: minutes and gigabytes.
pub const LARGE_WORLDS: [&[Fault]; 3] = [
    &[Fault::Failover, Fault::Second],
    &[Fault::Failover, Fault::Orphans],
    &[Fault::Janitor, Fault::Orphans, Fault::Drift],
];

/// The setting in which the rule is needed.
pub const fn setting(rule: Rule) -> Setting {
    use Fault as F;
    use Mode::{Asynchronous, Synchronous};
    let (mode, faults, with): (Mode, &'static [Fault], &'static [Rule]) = match rule {
        Rule::RegisterBeforeLoad
        | Rule::LeaseFromSending
        | Rule::OnlyAfterCommit
        | Rule::TimerAlone
        | Rule::IdPerProcess => (Synchronous, &[], &[]),
        Rule::BeatNeedsRow
        | Rule::BeatNeverInserts
        | Rule::JanitorOwnClock
        | Rule::JanitorBeatSeen => (Synchronous, &[F::Janitor], &[]),
        Rule::IdPerRegistration => (Synchronous, &[F::Janitor, F::Orphans], &[]),
        Rule::StopBeforeDelete => (Synchronous, &[F::ReaderRestart], &[]),
        Rule::LeaseLast => (Synchronous, &[F::SlowValidation], &[]),
        Rule::SnapshotNotLastId => (Synchronous, &[F::Second], &[]),
        Rule::BoundLongerThanLease => (Synchronous, &[F::Drift], &[]),
        Rule::LoadIsBeat
        | Rule::BeatCommitsSynchronously
        | Rule::AwaitReady
        | Rule::LookupCommits => (Synchronous, &[F::Failover], &[]),
        Rule::NothingEarlyOnNewTimeline
        | Rule::StandbyFlush
        | Rule::BoundStartsAgain
        | Rule::AbsentStandbyWithholds
        | Rule::WriteBackAtRegistration => (Asynchronous, &[F::Failover], &[]),
        Rule::DepartureIsQuiet => (Asynchronous, &[F::Failover, F::Unslotted], &[]),
        Rule::TimerWaitsForFence => (Asynchronous, &[F::Failover, F::Drift], &[]),
        Rule::UnionOnReload => (
            Asynchronous,
            &[F::Failover],
            &[Rule::WriteBackAtRegistration],
        ),
        Rule::NothingEarlyAfterStart => (Asynchronous, &[F::Failover, F::WaiterRestart], &[]),
        Rule::OneBeatAtATime | Rule::AnswerTimeline => (
            Asynchronous,
            &[F::Loss, F::Second],
            &[Rule::QuestionNamesTimeline],
        ),
        Rule::QuestionNamesTimeline => {
            (Asynchronous, &[F::Loss, F::Second], &[Rule::OneBeatAtATime])
        }
        Rule::ConfirmThisTimeline => (
            Asynchronous,
            &[F::Loss, F::Second],
            &[Rule::QuestionNamesTimeline, Rule::OneBeatAtATime],
        ),
    };
    let promise = match rule {
        Rule::UnionOnReload => AGAIN,
        Rule::WriteBackAtRegistration => COMES_BACK,
        Rule::TimerAlone => TIMER_SUFFICES,
        _ => AFTER_EVERYWHERE,
    };
    Setting {
        mode,
        faults,
        with,
        promise,
    }
}

impl Setting {
    /// The world of the setting, in a mode, with all rules.
    pub fn whole(&self, mode: Mode) -> Config {
        world(mode, self.faults)
    }

    /// The same without the rule and those that stand in for it.
    pub fn broken(&self, mode: Mode, rule: Rule) -> Config {
        self.whole(mode).without(self.with).without(&[rule])
    }
}
