//! What the servers do: replicate, complete, promote, die; and time.

use crate::config::{Config, Deposed, Mode};
use crate::rules::Rule;
use crate::state::{NEVER, Progress, ROOM, Server, Stage, State, has};

/// The standby flushes all that the first server's log has.
pub(crate) fn replicate(state: &mut State) -> Option<()> {
    if state.promoted || !state.first_alive {
        return None;
    }
    let [first, second] = &mut state.servers;
    first.flushed = (0..ROOM)
        .filter(|&x| first.holds(x))
        .fold(0, |all, x| all | 1 << x);
    *second = Server {
        xid: first.xid,
        visible: first.flushed,
        flushed: 0,
        row: first.row_log,
        row_log: first.row_log,
    };
    for message in state.messages.iter_mut().flatten() {
        if message.stage == (Stage::Waiting { flushed: false }) {
            message.stage = Stage::Waiting { flushed: true };
        }
    }
    Some(())
}

/// The standby becomes the primary. What it lacks is lost.
pub(crate) fn promote(config: &Config, state: &mut State) -> Option<()> {
    let deposed = config.failover?;
    if state.promoted {
        return None;
    }
    if config.mode == Mode::Quorum {
        // Whoever is promoted has at least what the quorum acknowledged.
        replicate(state);
    }
    state.promoted = true;
    if config.unslotted && config.has(Rule::DepartureIsQuiet) && state.waiter.server == 1 {
        // It looks before it answers: at the earliest now it sees that its standby has left.
        state.waiter.on_timeline = 0;
    }
    for x in 0..ROOM {
        if !state.servers[1].holds(x) {
            state.revocations[x].age = NEVER;
        }
    }
    if deposed == Deposed::Never && state.first_alive {
        kill_first(config, state)?;
    }
    Some(())
}

/// The first server is gone, and with it what it has not answered.
pub(crate) fn kill_first(config: &Config, state: &mut State) -> Option<()> {
    config.failover?;
    if !state.first_alive {
        return None;
    }
    state.first_alive = false;
    state.deposed_for = 0;
    for slot in &mut state.messages {
        if slot.is_some_and(|message| message.server == 1 && message.stage != Stage::Answered) {
            *slot = None;
        }
    }
    Some(())
}

/// A revocation's COMMIT has its standby's flush and becomes visible.
pub(crate) fn complete_revocation(config: &Config, state: &mut State, x: usize) -> Option<()> {
    let first = &mut state.servers[0];
    let waits = config.mode == Mode::Synchronous && first.holds(x) && !has(first.visible, x);
    if !(state.first_alive && waits && has(first.flushed, x)) {
        return None;
    }
    first.visible |= 1 << x;
    Some(())
}

/// A revocation's COMMIT is ended out of its wait: visible, and on no standby. Its waiter learns nothing, or a WARNING.
pub(crate) fn end_wait(config: &Config, state: &mut State, x: usize) -> Option<()> {
    let first = &mut state.servers[0];
    let waits = config.mode == Mode::Synchronous && first.holds(x) && !has(first.visible, x);
    if !(state.first_alive && waits && !has(first.flushed, x)) {
        return None;
    }
    first.visible |= 1 << x;
    Some(())
}

/// Puts back onto the new timeline a revocation that it lacks.
pub(crate) fn put_back(state: &mut State, x: usize) {
    state.servers[1].insert(x);
    state.servers[1].visible |= 1 << x;
    if !matches!(
        state.revocations[x].progress,
        Progress::Idle | Progress::Sent
    ) {
        state.revocations[x].age = 0;
    }
}

/// Another holder than the reader and the waiter puts it back.
pub(crate) fn others_put_back(config: &Config, state: &mut State, x: usize) -> Option<()> {
    let lost = state.promoted && !state.servers[1].holds(x) && has(state.servers[0].visible, x);
    if config.mode == Mode::Synchronous || !lost {
        return None;
    }
    put_back(state, x);
    Some(())
}

/// A tick of every clock; a slow reader's stands still.
pub(crate) fn tick(config: &Config, state: &mut State, slow: bool) -> Option<()> {
    tick_reader(config, state, slow)?;
    let bound = config.bound();
    if state.waiter.server != 0 {
        let age = &mut state.waiter.on_timeline;
        *age = config.quarantine().min(*age + 1);
        if watches_rows(config) {
            state.waiter.row_age = bound.min(state.waiter.row_age + 1);
        }
    }
    for revocation in &mut state.revocations {
        if revocation.waited != NEVER {
            revocation.waited = bound.min(revocation.waited + 1);
        }
        if revocation.age != NEVER {
            revocation.age = config.quarantine().min(revocation.age + 1);
        }
    }
    if state.promoted && state.first_alive && config.failover == Some(Deposed::UntilFence) {
        if state.deposed_for == config.fence {
            kill_first(config, state)?;
        } else {
            state.deposed_for += 1;
        }
    }
    Some(())
}

fn tick_reader(config: &Config, state: &mut State, slow: bool) -> Option<()> {
    if slow {
        if !config.drift || state.reader.steady < config.lease {
            return None;
        }
        state.reader.steady = 0;
        return Some(());
    }
    if config.drift {
        state.reader.steady = config.lease.min(state.reader.steady + 1);
    }
    state.reader.lease = state.reader.lease.saturating_sub(1);
    for message in state.messages.iter_mut().flatten() {
        message.age = config.lease.min(message.age + 1);
    }
    Some(())
}

/// Whether the age of rows matters to anyone.
pub(crate) const fn watches_rows(config: &Config) -> bool {
    config.janitor || !config.has(Rule::OnlyAfterCommit)
}
