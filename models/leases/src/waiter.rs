//! What the waiter does: revokes, waits, answers, deletes dead rows, writes back.

use crate::cluster::{put_back, replicate, watches_rows};
use crate::config::{Config, Mode};
use crate::rules::Rule;
use crate::state::{NEVER, Progress, ROOM, Row, State, Timeline, has};

/// The waiter connects to a server: at its start, or since it has found a newer timeline.
pub(crate) fn meet(config: &Config, state: &mut State, server: Timeline) -> Option<()> {
    let present = state.server(server).row.present;
    let waiter = &mut state.waiter;
    let starts = waiter.server == 0;
    if server <= waiter.server || !state.open(server) {
        return None;
    }
    let waiter = &mut state.waiter;
    waiter.server = server;
    let old_hand = starts && !config.has(Rule::NothingEarlyAfterStart);
    waiter.on_timeline = if old_hand { config.quarantine() } else { 0 };
    waiter.row_age = 0;
    waiter.row_changed = present;
    Some(())
}

/// The waiter's process ends; those who asked it are never told more.
pub(crate) fn crash(state: &mut State) -> Option<()> {
    if state.waiter.server == 0 || state.waiter.restarts == 0 {
        return None;
    }
    state.waiter.server = 0;
    state.waiter.restarts -= 1;
    state.waiter.on_timeline = 0;
    for revocation in &mut state.revocations {
        revocation.waited = NEVER;
        if matches!(revocation.progress, Progress::Sent | Progress::Committed) {
            revocation.progress = Progress::Abandoned;
        }
    }
    Some(())
}

/// COMMIT of a revocation is sent, or sent again where the new timeline does not have it.
pub(crate) fn revoke(config: &Config, state: &mut State, x: usize) -> Option<()> {
    let timeline = state.waiter.server;
    // Revocations are alike: the second is never the first to happen.
    let turn = x < usize::from(config.revocations)
        && (x == 0 || state.revocations[x - 1].progress != Progress::Idle);
    if !turn || !state.open(timeline) || state.server(timeline).holds(x) {
        return None;
    }
    match state.revocations[x].progress {
        Progress::Idle => {}
        Progress::Sent if timeline == 2 => {}
        _ => return None,
    }
    state.revocations[x].progress = Progress::Sent;
    let server = state.server_mut(timeline);
    server.insert(x);
    if config.mode != Mode::Synchronous || timeline == 2 {
        server.visible |= 1 << x;
    }
    Some(())
}

/// The waiter learns that its COMMIT succeeded: by its answer, or by looking it up.
pub(crate) fn commit_answered(config: &Config, state: &mut State, x: usize) -> Option<()> {
    let timeline = state.waiter.server;
    if timeline == 0
        || state.revocations[x].progress != Progress::Sent
        || !has(state.server(timeline).visible, x)
    {
        return None;
    }
    let unconfirmed =
        config.mode == Mode::Synchronous && timeline == 1 && !has(state.servers[0].flushed, x);
    if unconfirmed && config.has(Rule::LookupCommits) {
        return None;
    }
    let revocation = &mut state.revocations[x];
    revocation.progress = Progress::Committed;
    revocation.timeline = timeline;
    revocation.waited = 0;
    if state.servers[1].holds(x) || !state.promoted {
        state.revocations[x].age = 0;
    }
    Some(())
}

/// Whether no failover can take the revocation away any more, as far as the waiter can know.
fn durable(config: &Config, state: &State, x: usize) -> bool {
    if config.mode == Mode::Synchronous || !config.has(Rule::StandbyFlush) {
        return true;
    }
    match state.waiter.server {
        1 => {
            // That nobody follows is seen by a look.
            has(state.servers[0].flushed, x)
                || (state.promoted
                    && state.open(1)
                    && (config.unslotted || !config.has(Rule::AbsentStandbyWithholds)))
        }
        _ => state.servers[1].holds(x),
    }
}

/// Whether the waiter may answer `everywhere` by what the rows show.
pub(crate) fn may_answer_early(config: &Config, state: &State, x: usize) -> bool {
    let timeline = state.waiter.server;
    if !state.open(timeline) || state.revocations[x].progress != Progress::Committed {
        return false;
    }
    let server = state.server(timeline);
    if !has(server.visible, x) || !durable(config, state, x) {
        return false;
    }
    if config.has(Rule::NothingEarlyOnNewTimeline) && state.waiter.on_timeline < config.quarantine()
    {
        return false;
    }
    let shown = server.row.snapshot;
    let of_this_timeline = shown.timeline == timeline || !config.has(Rule::ConfirmThisTimeline);
    let confirmed = of_this_timeline && has(shown.xids, usize::from(server.xid[x]) - 1);
    let looks_dead = !config.has(Rule::OnlyAfterCommit)
        && !state.waiter.row_changed
        && state.waiter.row_age >= config.bound();
    !server.row.present || confirmed || looks_dead
}

/// Whether the waiter may answer `everywhere` since the bound has passed.
pub(crate) fn may_answer_by_timer(config: &Config, state: &State, x: usize) -> bool {
    let revocation = state.revocations[x];
    config.has(Rule::TimerAlone) && bound_has_passed(config, state, x) && {
        let here = revocation.timeline == state.waiter.server;
        let carried_over = match config.mode {
            Mode::Synchronous => true,
            _ => !config.has(Rule::BoundStartsAgain) && state.servers[1].holds(x),
        };
        here || carried_over
    }
}

/// Whether all that the bound asks for is there.
pub(crate) fn bound_has_passed(config: &Config, state: &State, x: usize) -> bool {
    let revocation = state.revocations[x];
    let quarantined = config.mode != Mode::Synchronous
        && config.has(Rule::TimerWaitsForFence)
        && state.waiter.on_timeline < config.quarantine();
    state.waiter.server != 0
        && revocation.progress == Progress::Committed
        && revocation.waited >= config.bound()
        && !quarantined
        && durable(config, state, x)
}

/// `everywhere` is answered.
pub(crate) fn answer(
    config: &Config,
    state: &mut State,
    x: usize,
    progress: Progress,
) -> Option<()> {
    let may = match progress {
        Progress::EverywhereEarly => may_answer_early(config, state, x),
        Progress::EverywhereByTimer => may_answer_by_timer(config, state, x),
        _ => false,
    };
    if !may {
        return None;
    }
    state.revocations[x].progress = progress;
    state.revocations[x].waited = NEVER;
    Some(())
}

/// The waiter, on the new timeline, finds there what it committed on the old one, or puts it back.
pub(crate) fn carry_over(config: &Config, state: &mut State, x: usize) -> Option<()> {
    let revocation = state.revocations[x];
    if state.waiter.server != 2
        || revocation.progress != Progress::Committed
        || revocation.timeline != 1
    {
        return None;
    }
    let lacking = !state.servers[1].holds(x);
    if lacking {
        put_back(state, x);
    }
    if !lacking && config.mode == Mode::Synchronous {
        return None;
    }
    state.revocations[x].timeline = 2;
    if config.has(Rule::BoundStartsAgain) {
        state.revocations[x].waited = 0;
    }
    Some(())
}

/// The waiter looks at the row.
pub(crate) fn observe(config: &Config, state: &mut State) -> Option<()> {
    if !watches_rows(config) || !state.open(state.waiter.server) || !state.waiter.row_changed {
        return None;
    }
    state.waiter.row_changed = false;
    state.waiter.row_age = 0;
    Some(())
}

/// A dead row is deleted.
pub(crate) fn sweep(config: &Config, state: &mut State) -> Option<()> {
    let timeline = state.waiter.server;
    if !config.janitor || !state.open(timeline) {
        return None;
    }
    let server = *state.server(timeline);
    let waiter = &state.waiter;
    let as_seen = !waiter.row_changed || !config.has(Rule::JanitorBeatSeen);
    let dead = waiter.row_age >= config.bound() || !config.has(Rule::JanitorOwnClock);
    if !server.row.present || state.locked(timeline) || !as_seen || !dead {
        return None;
    }
    let waits = config.mode == Mode::Synchronous && timeline == 1;
    if waits && state.promoted {
        return None;
    }
    state.show_row(timeline, Row::default());
    if waits {
        replicate(state)?;
    }
    state.swept = true;
    Some(())
}

/// The revocations there are.
pub(crate) fn all() -> std::ops::Range<usize> {
    0..ROOM
}
