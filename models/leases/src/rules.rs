//! The rules of the protocol, each of which can be taken out.

/// One rule of the protocol. What it says, in the words of the design.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rule {
    /// A reader registers, commits, and only then loads.
    RegisterBeforeLoad,
    /// A lease counts from the moment the question was sent, not from the answer.
    LeaseFromSending,
    /// A beat that finds no row of its reader gives no lease.
    BeatNeedsRow,
    /// A beat that finds no row does not insert one.
    BeatNeverInserts,
    /// The load is a committed beat, not a plain read.
    LoadIsBeat,
    /// A beat commits with `synchronous_commit = on`.
    BeatCommitsSynchronously,
    /// An answer counts when ReadyForQuery has come without a WARNING.
    AwaitReady,
    /// The question names its timeline; the server and the reader compare it.
    QuestionNamesTimeline,
    /// The reader compares the timeline of the answer with that of its registration.
    AnswerTimeline,
    /// There is one beat in flight at a time.
    OneBeatAtATime,
    /// What a reader holds and the new primary lacks is written back in the registration's transaction.
    WriteBackAtRegistration,
    /// What a reload brings is added to what the reader holds.
    UnionOnReload,
    /// The question asks for what is not visible in a snapshot, not for what is above the last id.
    SnapshotNotLastId,
    /// A row confirms a revocation only by a snapshot of the timeline that the waiter is on.
    ConfirmThisTimeline,
    /// Nothing is answered early during the first bound + fence on a timeline.
    NothingEarlyOnNewTimeline,
    /// Nothing is answered early during the first bound + fence of a waiter's life.
    NothingEarlyAfterStart,
    /// What a waiter saw before the answer to its COMMIT counts for nothing.
    OnlyAfterCommit,
    /// The bound after COMMIT is longer than the lease by what clocks may drift.
    BoundLongerThanLease,
    /// The bound after COMMIT is enough by itself.
    TimerAlone,
    /// A row is dead by its observer's own clock, never by `now()`.
    JanitorOwnClock,
    /// A dead row is deleted `where id = $ and beat = $seen`.
    JanitorBeatSeen,
    /// Without a named synchronous standby, `everywhere` waits for the standbys' flush.
    StandbyFlush,
    /// A standby that may be promoted and does not stream withholds `everywhere`.
    AbsentStandbyWithholds,
    /// When a standby is there no more that nothing says is missed, nothing is answered for bound + fence.
    DepartureIsQuiet,
    /// Without a named synchronous standby, the first bound + fence on a timeline also holds back the timer.
    TimerWaitsForFence,
    /// On a new timeline the bound starts again, with the entry's return to it.
    BoundStartsAgain,
    /// A COMMIT whose answer was lost is looked up by something that itself commits synchronously.
    LookupCommits,
    /// A reader's id belongs to one process.
    IdPerProcess,
    /// Each registration has an id of its own: one that was given up and arrives late revives no deleted row.
    IdPerRegistration,
    /// On shutdown a reader stops trusting, then deletes its row.
    StopBeforeDelete,
    /// Validation looks up the set, then reads the lease, last.
    LeaseLast,
}

impl Rule {
    /// Every rule.
    pub const ALL: [Self; 31] = [
        Self::RegisterBeforeLoad,
        Self::LeaseFromSending,
        Self::BeatNeedsRow,
        Self::BeatNeverInserts,
        Self::LoadIsBeat,
        Self::BeatCommitsSynchronously,
        Self::AwaitReady,
        Self::QuestionNamesTimeline,
        Self::AnswerTimeline,
        Self::OneBeatAtATime,
        Self::WriteBackAtRegistration,
        Self::UnionOnReload,
        Self::SnapshotNotLastId,
        Self::ConfirmThisTimeline,
        Self::NothingEarlyOnNewTimeline,
        Self::NothingEarlyAfterStart,
        Self::OnlyAfterCommit,
        Self::BoundLongerThanLease,
        Self::TimerAlone,
        Self::JanitorOwnClock,
        Self::JanitorBeatSeen,
        Self::StandbyFlush,
        Self::AbsentStandbyWithholds,
        Self::DepartureIsQuiet,
        Self::TimerWaitsForFence,
        Self::BoundStartsAgain,
        Self::LookupCommits,
        Self::IdPerProcess,
        Self::IdPerRegistration,
        Self::StopBeforeDelete,
        Self::LeaseLast,
    ];

    /// The rule's name on the command line: its words in lower case with hyphens between.
    pub fn name(self) -> String {
        let mut name = String::new();
        for letter in format!("{self:?}").chars() {
            if letter.is_uppercase() && !name.is_empty() {
                name.push('-');
            }
            name.push(letter.to_ascii_lowercase());
        }
        name
    }

    /// The rule of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rule| rule.name() == name)
    }
}

/// Which rules are in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules(u32);

impl Rules {
    /// All of them.
    pub const fn all() -> Self {
        Self((1 << Rule::ALL.len()) - 1)
    }

    /// These without one.
    #[must_use]
    pub const fn without(self, rule: Rule) -> Self {
        Self(self.0 & !(1 << rule as u32))
    }

    /// Whether the rule is in force.
    pub const fn has(self, rule: Rule) -> bool {
        self.0 & (1 << rule as u32) != 0
    }
}
