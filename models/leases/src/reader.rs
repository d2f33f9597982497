//! What the reader does, and what the servers do with its questions.

use crate::cluster::put_back;
use crate::config::{Config, Mode};
use crate::rules::Rule;
use crate::state::{
    Bits, Message, Question, ROOM, Reader, Row, Server, Snapshot, Stage, State, Timeline, has,
};

/// The reader sends its next question to that server.
pub(crate) fn ask(config: &Config, state: &mut State, server: Timeline) -> Option<()> {
    let reader = &state.reader;
    let able = reader.up && !reader.stopping && reader.looking.is_none();
    if !able || !state.open(server) || server < reader.met {
        return None;
    }
    let slot = match state.messages {
        [None, _] => 0,
        [Some(_), None] if !config.has(Rule::OneBeatAtATime) => 1,
        _ => return None,
    };
    let question = next_question(config, reader);
    state.messages[slot] = Some(Message {
        question,
        server,
        age: 0,
        named: if question == Question::Register {
            0
        } else {
            reader.registered
        },
        since: if question == Question::Beat {
            reader.snapshot
        } else {
            Snapshot::default()
        },
        held: if question == Question::Register {
            reader.set
        } else {
            0
        },
        stage: Stage::Sent,
        sees: 0,
        brings: 0,
        hit: false,
        orphan: false,
    });
    Some(())
}

fn next_question(config: &Config, reader: &Reader) -> Question {
    match (reader.registered, reader.loaded) {
        (0, false) if !config.has(Rule::RegisterBeforeLoad) => Question::Load,
        (0, _) => Question::Register,
        (_, false) => Question::Load,
        (_, true) => Question::Beat,
    }
}

/// The server takes the question's snapshot.
pub(crate) fn execute(config: &Config, state: &mut State, slot: usize) -> Option<()> {
    let mut message = state.messages[slot].filter(|message| message.stage == Stage::Sent)?;
    if !state.open(message.server) {
        return None;
    }
    let server = state.server(message.server);
    let plain =
        message.question == Question::Load && (!config.has(Rule::LoadIsBeat) || message.named == 0);
    let foreign =
        message.named != message.server && !plain && message.question != Question::Register;
    message.stage = Stage::Executed;
    if message.question != Question::Register {
        message.sees = server.xids();
        message.brings = news(config, server, message.since);
    }
    if plain {
        message.hit = true;
        message.stage = Stage::Answered;
    } else if foreign && config.has(Rule::QuestionNamesTimeline) {
        message.stage = Stage::Answered;
    }
    settle(state, slot, message);
    Some(())
}

/// The revocations that the server has and the snapshot lacks.
fn news(config: &Config, server: &Server, since: Snapshot) -> Bits {
    let lacks = |xid: usize| {
        if config.has(Rule::SnapshotNotLastId) {
            !has(since.xids, xid)
        } else {
            since.xids >> xid == 0
        }
    };
    (0..ROOM)
        .filter(|&x| has(server.visible, x) && lacks(usize::from(server.xid[x]) - 1))
        .fold(0, |news, x| news | 1 << x)
}

/// The server writes the reader's row, and commits or begins to wait for the standby.
pub(crate) fn write(config: &Config, state: &mut State, slot: usize) -> Option<()> {
    let mut message = state.messages[slot].filter(|message| message.stage == Stage::Executed)?;
    let server = *state.server(message.server);
    if !state.open(message.server) || state.locked(message.server) {
        return None;
    }
    let registers = message.question == Question::Register;
    if registers && message.orphan && config.has(Rule::IdPerRegistration) {
        // It makes a row of its own, which nobody renews: that only delays `everywhere`.
        state.messages[slot] = None;
        return Some(());
    }
    message.hit = registers || server.row.present;
    message.stage = Stage::Answered;
    if message.hit || !config.has(Rule::BeatNeverInserts) {
        message.hit = true;
        let row = Row {
            present: true,
            snapshot: message.since,
        };
        let waits = registers || config.has(Rule::BeatCommitsSynchronously);
        if config.mode == Mode::Synchronous && message.server == 1 && waits {
            message.stage = Stage::Waiting { flushed: false };
            state.server_mut(message.server).row_log = row;
        } else {
            state.show_row(message.server, row);
        }
        if registers && message.server == 2 && config.has(Rule::WriteBackAtRegistration) {
            for x in 0..ROOM {
                if has(message.held, x) && !state.servers[1].holds(x) {
                    put_back(state, x);
                }
            }
        }
    }
    settle(state, slot, message);
    Some(())
}

/// The standby has the write: it becomes visible, the answer leaves.
pub(crate) fn complete(state: &mut State, slot: usize) -> Option<()> {
    let mut message = state.messages[slot]
        .filter(|message| message.stage == (Stage::Waiting { flushed: true }))?;
    if !state.open(message.server) {
        return None;
    }
    let row = state.server(message.server).row_log;
    state.show_row(message.server, row);
    message.stage = Stage::Answered;
    settle(state, slot, message);
    Some(())
}

/// Keeps the message, unless nobody waits for its answer.
fn settle(state: &mut State, slot: usize, message: Message) {
    let over = message.orphan && message.stage == Stage::Answered;
    state.messages[slot] = (!over).then_some(message);
}

/// The answer arrives.
pub(crate) fn deliver(config: &Config, state: &mut State, slot: usize) -> Option<()> {
    let mut message = state.messages[slot]?;
    let ready = match message.stage {
        Stage::Answered => true,
        Stage::Sent => false,
        Stage::Executed | Stage::Waiting { .. } => !config.has(Rule::AwaitReady),
    };
    let reader = &state.reader;
    if !ready || message.orphan || !reader.up || reader.stopping || reader.looking.is_some() {
        return None;
    }
    if message.stage == Stage::Executed {
        message.hit =
            message.question == Question::Register || state.server(message.server).row.present;
    }
    apply(config, state, message);
    message.orphan = true;
    settle(state, slot, message);
    Some(())
}

/// What the reader makes of an answer.
fn apply(config: &Config, state: &mut State, answer: Message) {
    let reader = &mut state.reader;
    if answer.server < reader.met {
        return;
    }
    reader.met = answer.server;
    if answer.question == Question::Register {
        reader.registered = answer.server;
        if config.has(Rule::RegisterBeforeLoad) {
            reader.loaded = false;
            reader.snapshot = Snapshot::default();
        }
        return;
    }
    let first_load = reader.registered == 0 && !config.has(Rule::RegisterBeforeLoad);
    let asked_here = answer.named == answer.server || !config.has(Rule::QuestionNamesTimeline);
    let registered_here = reader.registered == answer.server || !config.has(Rule::AnswerTimeline);
    let of_one_timeline = first_load || (asked_here && registered_here);
    if !of_one_timeline || (!answer.hit && config.has(Rule::BeatNeedsRow)) {
        if reader.registered != answer.server || !answer.hit && of_one_timeline {
            reader.registered = 0;
            reader.loaded = false;
            reader.snapshot = Snapshot::default();
        }
        return;
    }
    trust(config, state, answer);
}

/// Takes what the answer brings, and its lease.
fn trust(config: &Config, state: &mut State, answer: Message) {
    let reader = &mut state.reader;
    if answer.question == Question::Load && !config.has(Rule::UnionOnReload) {
        state.forgot |= reader.set & !answer.brings != 0;
        reader.set = answer.brings;
    } else {
        reader.set |= answer.brings;
    }
    reader.snapshot = Snapshot {
        timeline: answer.server,
        xids: answer.sees,
    };
    reader.loaded = true;
    let age = if config.has(Rule::LeaseFromSending) {
        answer.age
    } else {
        0
    };
    reader.lease = reader.lease.max(config.lease - age);
}

/// A question or an answer is lost, or its connection is closed where nothing more can come of it.
pub(crate) fn lose(state: &mut State, slot: usize) -> Option<()> {
    let message = state.messages[slot]?;
    match message.stage {
        Stage::Sent | Stage::Answered => {}
        Stage::Waiting { .. } if state.promoted => {
            let row = state.server(message.server).row;
            state.server_mut(message.server).row_log = row;
        }
        Stage::Executed | Stage::Waiting { .. } => return None,
    }
    state.messages[slot] = None;
    Some(())
}

/// The reader gives a question up; the server goes on with it.
pub(crate) fn abandon(config: &Config, state: &mut State) -> Option<()> {
    let [Some(message), None] = state.messages else {
        return None;
    };
    if !config.orphans || message.orphan || message.stage == Stage::Answered {
        return None;
    }
    state.messages = [
        None,
        Some(Message {
            orphan: true,
            ..message
        }),
    ];
    Some(())
}

/// The reader's process ends. Its row goes at once: a row that stays only delays `everywhere`.
pub(crate) fn crash(state: &mut State) -> Option<()> {
    let reader = state.reader;
    if !reader.up || (reader.restarts == 0 && !reader.stopping) {
        return None;
    }
    let restarts = if reader.stopping {
        reader.restarts
    } else {
        reader.restarts - 1
    };
    state.reader = Reader {
        restarts,
        steady: reader.steady,
        ..Reader::default()
    };
    state.messages = [None; 2];
    drop_rows(state);
    Some(())
}

/// The process starts, under a new id.
pub(crate) fn start(state: &mut State) -> Option<()> {
    if state.reader.up {
        return None;
    }
    state.reader.up = true;
    Some(())
}

/// Shutdown in the wrong order: the row is deleted, tokens are still accepted.
pub(crate) fn stop_late(config: &Config, state: &mut State) -> Option<()> {
    let reader = &mut state.reader;
    if config.has(Rule::StopBeforeDelete) || !reader.up || reader.stopping || reader.restarts == 0 {
        return None;
    }
    reader.stopping = true;
    reader.restarts -= 1;
    state.messages = [None; 2];
    drop_rows(state);
    Some(())
}

fn drop_rows(state: &mut State) {
    for server in &mut state.servers {
        server.row = Row::default();
        server.row_log = Row::default();
    }
}

/// A second process with the same id beats.
pub(crate) fn namesake(config: &Config, state: &mut State, timeline: Timeline) -> Option<()> {
    let server = *state.server(timeline);
    let free = server.row.present && !state.locked(timeline);
    if config.has(Rule::IdPerProcess) || !state.open(timeline) || !free {
        return None;
    }
    let snapshot = Snapshot {
        timeline,
        xids: server.xids(),
    };
    state.show_row(
        timeline,
        Row {
            present: true,
            snapshot,
        },
    );
    Some(())
}
