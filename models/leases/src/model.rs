//! The model as the checker takes it: actions, next states, properties.

use stateright::{Model, Property};

use crate::config::{Config, Mode};
use crate::state::{NEVER, Progress, ROOM, Reader, Revocation, Server, State, Timeline, Waiter};
use crate::{cluster, properties, reader, validation, waiter, words};

/// The leases in a world of bounded faults.
#[derive(Clone, Debug)]
pub struct Leases {
    /// The bounds of the run.
    pub config: Config,
}

/// What can happen next. A number is a slot of a question in flight, a server, or a revocation, as the name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Time passes; with `slow` the reader's clock stands still meanwhile.
    Tick {
        /// The reader's clock stands still.
        slow: bool,
    },
    /// The reader sends a question to a server.
    Ask(Timeline),
    /// A question's snapshot is taken.
    Execute(usize),
    /// A question's write goes to the log.
    Write(usize),
    /// A question's write has its standby and becomes visible.
    Complete(usize),
    /// An answer arrives.
    Deliver(usize),
    /// A question or an answer is lost.
    Lose(usize),
    /// The reader gives up a question that the server goes on with.
    Abandon,
    /// The reader's process ends.
    ReaderEnds,
    /// It starts.
    ReaderStarts,
    /// It deletes its row before it stops trusting.
    StopLate,
    /// A second process with the reader's id beats.
    Namesake(Timeline),
    /// A validation's first look.
    FirstLook,
    /// A validation's second look.
    SecondLook,
    /// The waiter connects to a server.
    Meet(Timeline),
    /// The waiter's process ends.
    WaiterEnds,
    /// A revocation's COMMIT is sent.
    Revoke(usize),
    /// A revocation has its standby and becomes visible.
    CompleteRevocation(usize),
    /// A revocation's wait for its standby is ended.
    EndWait(usize),
    /// The waiter learns that its COMMIT succeeded.
    CommitAnswered(usize),
    /// `everywhere`, since the rows show it.
    AnswerEarly(usize),
    /// `everywhere`, since the bound has passed.
    AnswerByTimer(usize),
    /// The waiter carries a revocation over to the new timeline.
    CarryOver(usize),
    /// Somebody else writes it back.
    OthersPutBack(usize),
    /// The waiter looks at the row.
    Observe,
    /// The waiter deletes a dead row.
    Sweep,
    /// The standby flushes the log.
    Replicate,
    /// The standby is promoted.
    Promote,
    /// The first server is gone.
    KillFirst,
}

impl Leases {
    /// The model of that world.
    pub const fn new(config: Config) -> Self {
        Self { config }
    }

    /// A world in which `reader` has yet to start its work and `waiter` has long been there.
    fn first_state(&self) -> State {
        let revocation = Revocation {
            progress: Progress::Idle,
            timeline: 0,
            waited: NEVER,
            age: NEVER,
        };
        State {
            servers: [Server::default(); 2],
            first_alive: true,
            promoted: false,
            deposed_for: 0,
            reader: Reader {
                up: true,
                steady: if self.config.drift {
                    self.config.lease
                } else {
                    0
                },
                restarts: self.config.reader_restarts,
                ..Reader::default()
            },
            messages: [None; 2],
            waiter: Waiter {
                server: 1,
                on_timeline: self.config.quarantine(),
                row_age: 0,
                row_changed: false,
                restarts: self.config.waiter_restarts,
            },
            revocations: [revocation; ROOM],
            accepted_late: false,
            forgot: false,
            swept: false,
        }
    }

    /// The steps of a path in words.
    pub fn tell(&self, actions: &[Action]) -> Vec<String> {
        let mut state = self.first_state();
        let mut told = Vec::new();
        for action in self.config.prelude.iter().chain(actions) {
            let Some(next) = self.next_state(&state, *action) else {
                break;
            };
            told.push(words::step(*action, &state, &next));
            state = next;
        }
        told
    }

    /// The state after those actions; `None` if one of them cannot happen.
    pub fn replay(&self, actions: &[Action]) -> Option<State> {
        let first = self.first_state();
        actions
            .iter()
            .try_fold(first, |state, action| self.next_state(&state, *action))
    }

    /// When the latest token may be accepted after its revocation's COMMIT was answered.
    pub(crate) fn latest(&self, state: &State) -> u8 {
        let deposed = self.config.mode != Mode::Synchronous && state.promoted;
        self.config.bound() + if deposed { self.config.fence } else { 0 }
    }
}

impl Model for Leases {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        // A prelude that cannot happen leaves nothing to explore, and then nothing is reachable either.
        self.replay(self.config.prelude).into_iter().collect()
    }

    fn actions(&self, _: &State, actions: &mut Vec<Action>) {
        use Action as A;
        actions.extend([A::Tick { slow: false }, A::Tick { slow: true }]);
        for slot in 0..2 {
            actions.extend([
                A::Execute(slot),
                A::Write(slot),
                A::Complete(slot),
                A::Deliver(slot),
                A::Lose(slot),
            ]);
        }
        for server in 1..=2 {
            actions.extend([A::Ask(server), A::Namesake(server), A::Meet(server)]);
        }
        for x in waiter::all() {
            actions.extend([
                A::Revoke(x),
                A::CompleteRevocation(x),
                A::EndWait(x),
                A::CommitAnswered(x),
            ]);
            actions.extend([
                A::AnswerEarly(x),
                A::AnswerByTimer(x),
                A::CarryOver(x),
                A::OthersPutBack(x),
            ]);
        }
        actions.extend([
            A::Abandon,
            A::ReaderEnds,
            A::ReaderStarts,
            A::StopLate,
            A::FirstLook,
            A::SecondLook,
        ]);
        actions.extend([
            A::WaiterEnds,
            A::Observe,
            A::Sweep,
            A::Replicate,
            A::Promote,
            A::KillFirst,
        ]);
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let config = &self.config;
        let mut state = *last;
        let next = &mut state;
        match action {
            Action::Tick { slow } => cluster::tick(config, next, slow),
            Action::Ask(server) => reader::ask(config, next, server),
            Action::Execute(slot) => reader::execute(config, next, slot),
            Action::Write(slot) => reader::write(config, next, slot),
            Action::Complete(slot) => reader::complete(next, slot),
            Action::Deliver(slot) => reader::deliver(config, next, slot),
            Action::Lose(slot) => reader::lose(next, slot),
            Action::Abandon => reader::abandon(config, next),
            Action::ReaderEnds => reader::crash(next),
            Action::ReaderStarts => reader::start(next),
            Action::StopLate => reader::stop_late(config, next),
            Action::Namesake(server) => reader::namesake(config, next, server),
            Action::FirstLook => validation::first_look(config, next),
            Action::SecondLook => validation::second_look(config, next),
            Action::Meet(server) => waiter::meet(config, next, server),
            Action::WaiterEnds => waiter::crash(next),
            Action::Revoke(x) => waiter::revoke(config, next, x),
            Action::CompleteRevocation(x) => cluster::complete_revocation(config, next, x),
            Action::EndWait(x) => cluster::end_wait(config, next, x),
            Action::CommitAnswered(x) => waiter::commit_answered(config, next, x),
            Action::AnswerEarly(x) => waiter::answer(config, next, x, Progress::EverywhereEarly),
            Action::AnswerByTimer(x) => {
                waiter::answer(config, next, x, Progress::EverywhereByTimer)
            }
            Action::CarryOver(x) => waiter::carry_over(config, next, x),
            Action::OthersPutBack(x) => cluster::others_put_back(config, next, x),
            Action::Observe => waiter::observe(config, next),
            Action::Sweep => waiter::sweep(config, next),
            Action::Replicate => cluster::replicate(next),
            Action::Promote => cluster::promote(config, next),
            Action::KillFirst => cluster::kill_first(config, next),
        }?;
        (state != *last).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::of(&self.config)
    }
}
