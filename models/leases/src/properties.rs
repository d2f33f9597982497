//! What is promised, and what must be reachable.

use stateright::Property;

use crate::config::{Config, Mode};
use crate::model::Leases;
use crate::state::{Message, NEVER, Progress, Question, ROOM, State};
use crate::waiter;

type Condition = fn(&Leases, &State) -> bool;

fn always(name: &'static str, condition: Condition) -> Property<Leases> {
    Property::always(name, condition)
}

fn sometimes(name: &'static str, condition: Condition) -> Property<Leases> {
    Property::sometimes(name, condition)
}

/// All that is checked in that world.
pub(crate) fn of(config: &Config) -> Vec<Property<Leases>> {
    let mut properties = promises();
    properties.extend(reachable(config));
    properties
}

/// No token is accepted anywhere after its end was answered `everywhere`.
pub const AFTER_EVERYWHERE: &str = "nothing is accepted after everywhere";
/// No token is accepted later than the bound after the answer to COMMIT; the fence comes on top after a failover
/// without a named synchronous standby.
pub const AFTER_BOUND: &str = "nothing is accepted later than the bound";
/// What a living reader has refused it never accepts again.
pub const AGAIN: &str = "what was refused is not accepted again";
/// Whatever is lost, `everywhere` comes by the timer.
pub const TIMER_SUFFICES: &str = "everywhere comes by the timer";

/// What a reader holds is on the timeline that it is registered on.
pub const COMES_BACK: &str = "what a reader holds comes back";

fn promises() -> Vec<Property<Leases>> {
    vec![
        always(AFTER_EVERYWHERE, |_, state| {
            !state.accepted_late && (0..ROOM).all(|x| !(state.everywhere(x) && state.accepts(x)))
        }),
        always(AFTER_BOUND, |model, state| {
            let over = |x: usize| {
                let age = state.revocations[x].age;
                age != NEVER && age >= model.latest(state)
            };
            (0..ROOM).all(|x| !(over(x) && state.accepts(x)))
        }),
        always(COMES_BACK, |_, state| {
            let reader = &state.reader;
            let held = |x: usize| reader.set & (1 << x) != 0;
            reader.registered != 2 || (0..ROOM).all(|x| !held(x) || state.server(2).holds(x))
        }),
        always(AGAIN, |_, state| !state.forgot),
        always(TIMER_SUFFICES, |model, state| {
            let due = |x: usize| {
                state.revocations[x].timeline == state.waiter.server
                    && state.waiter.on_timeline >= model.config.quarantine()
                    && waiter::bound_has_passed(&model.config, state, x)
            };
            let may = |x: usize| {
                waiter::may_answer_by_timer(&model.config, state, x)
                    || waiter::may_answer_early(&model.config, state, x)
            };
            (0..ROOM).all(|x| !due(x) || may(x))
        }),
    ]
}

/// What must be reachable, or the promises say nothing.
fn reachable(config: &Config) -> Vec<Property<Leases>> {
    let mut properties = vec![
        sometimes("a reader trusts", |_, state| state.reader.lease > 0),
        sometimes("a reader knows a revocation", |_, state| {
            state.reader.lease > 0 && state.reader.set != 0
        }),
        sometimes("a lease ends", |_, state| {
            state.reader.loaded && state.reader.lease == 0
        }),
        sometimes(
            "everywhere is answered since the rows show it",
            |_, state| {
                state.server(1).row.present
                    && state.revocations[0].progress == Progress::EverywhereEarly
            },
        ),
        sometimes(
            "everywhere is answered since the bound has passed",
            |_, state| state.revocations[0].progress == Progress::EverywhereByTimer,
        ),
        sometimes(
            "a token is accepted between COMMIT and everywhere",
            |_, state| state.revocations[0].progress == Progress::Committed && state.accepts(0),
        ),
    ];
    if config.failover.is_some() {
        properties.extend(after_failover(config));
    }
    if config.reader_restarts > 0 {
        properties.push(sometimes("a second process trusts", |model, state| {
            state.reader.restarts < model.config.reader_restarts && state.reader.lease > 0
        }));
    }
    if config.waiter_restarts > 0 {
        properties.push(sometimes("a second waiter answers", |_, state| {
            state.waiter.restarts == 0 && state.everywhere(0) && state.waiter.server != 0
        }));
    }
    if config.janitor {
        properties.push(sometimes("a dead row is deleted", |_, state| state.swept));
        properties.push(sometimes("its reader comes back", |_, state| {
            state.swept && state.reader.lease > 0
        }));
    }
    properties
}

fn after_failover(config: &Config) -> Vec<Property<Leases>> {
    let mut properties = vec![
        sometimes("a reader trusts on the new timeline", |_, state| {
            state.reader.registered == 2 && state.reader.loaded && state.reader.lease > 0
        }),
        sometimes("a lease survives the failover", |_, state| {
            state.reader.met == 2 && !state.reader.loaded && state.reader.lease > 0
        }),
        sometimes(
            "everywhere is answered early on the new timeline",
            |_, state| {
                state.waiter.server == 2 && state.server(2).row.present && {
                    state.revocations[0].progress == Progress::EverywhereEarly
                        && state.reader.loaded
                }
            },
        ),
    ];
    if config.mode == Mode::Asynchronous {
        properties.push(sometimes("a failover loses a revocation", |_, state| {
            state.promoted
                && !state.servers[1].holds(0)
                && state.revocations[0].progress == Progress::Committed
        }));
        properties.push(sometimes("what was lost comes back", |_, state| {
            state.servers[1].holds(0) && state.servers[0].holds(0) && state.servers[0].flushed == 0
        }));
        if config.revocations > 1 {
            properties.push(sometimes("a transaction id is used again", |_, state| {
                let [first, second] = state.servers.map(|server| server.xid);
                state.promoted && first[0] != 0 && first[0] == second[1]
            }));
        }
    }
    if config.mode != Mode::Synchronous {
        properties.push(sometimes("a deposed primary gives a lease", |_, state| {
            let beats = |slot: &Option<Message>| {
                slot.is_some_and(|m| {
                    m.question == Question::Beat && m.server == 1 && m.age == 0 && m.hit
                })
            };
            state.deposed_for > 0 && state.messages.iter().any(beats)
        }));
    }
    properties
}
