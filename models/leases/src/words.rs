//! A timeline in words, for people.

use crate::model::Action;
use crate::state::{Bits, Message, Question, ROOM, Row, Snapshot, Stage, State, has};

/// One step, and what came of it.
pub(crate) fn step(action: Action, before: &State, after: &State) -> String {
    let said = match action {
        Action::Tick { slow: false } => "a tick passes".to_owned(),
        Action::Tick { slow: true } => "a tick passes; R's clock stands still".to_owned(),
        Action::Ask(server) => {
            let sent = after
                .messages
                .iter()
                .zip(&before.messages)
                .find(|(new, old)| new != old);
            format!(
                "R sends TL{server} {}",
                sent.and_then(|(new, _)| *new)
                    .map_or_else(String::new, question)
            )
        }
        Action::Execute(slot) => format!(
            "{}: its snapshot is taken{}",
            of(before, slot),
            seen(after, slot)
        ),
        Action::Write(slot) => format!("{}: {}", of(before, slot), written(before, after, slot)),
        Action::Complete(slot) => {
            format!("{}: the standby has it, COMMIT is done", of(before, slot))
        }
        Action::Deliver(slot) => format!("R has the answer to {}", of(before, slot)),
        Action::Lose(slot) => format!("{} or its answer is lost", of(before, slot)),
        Action::Abandon => format!("R gives up {}; the server goes on with it", of(before, 0)),
        Action::ReaderEnds => "R's process ends, its row goes".to_owned(),
        Action::ReaderStarts => "R starts under a new id".to_owned(),
        Action::StopLate => "R shuts down: its row is deleted, it still accepts".to_owned(),
        Action::Namesake(server) => format!("another process with R's id beats on TL{server}"),
        Action::FirstLook => {
            "R begins to validate a token: the first look, then it freezes".to_owned()
        }
        Action::SecondLook => {
            "R goes on with that validation: the second look, the answer".to_owned()
        }
        Action::Meet(server) => format!("W connects to TL{server}"),
        Action::WaiterEnds => "W's process ends".to_owned(),
        Action::Replicate => "the standby flushes all of TL1's log".to_owned(),
        Action::Promote => promoted(before, after),
        Action::KillFirst => "TL1's server is gone".to_owned(),
        Action::Observe => "W looks at R's row".to_owned(),
        Action::Sweep => format!("W deletes R's row on TL{} as dead", before.waiter.server),
        _ => revocation(action, before, after),
    };
    let mut told = said;
    told.push_str(&consequences(before, after));
    told
}

fn revocation(action: Action, before: &State, after: &State) -> String {
    let timeline = before.waiter.server;
    let xid = |x: usize, timeline: u8| after.server(timeline).xid[x].saturating_sub(1);
    match action {
        Action::Revoke(x) => {
            let waits = if has(after.server(timeline).visible, x) {
                "commits"
            } else {
                "is in the log"
            };
            format!(
                "W revokes x{x} on TL{timeline}: it {waits}, xid {}",
                xid(x, timeline)
            )
        }
        Action::CompleteRevocation(x) => format!("x{x}: the standby has it, it is visible on TL1"),
        Action::EndWait(x) => {
            format!("x{x}'s wait for the standby is ended: visible on TL1, on no standby")
        }
        Action::CommitAnswered(x) => format!("W learns that x{x} is committed"),
        Action::AnswerEarly(x) => format!(
            "W, seeing {}, answers `everywhere` for x{x}",
            row(before.server(timeline).row)
        ),
        Action::AnswerByTimer(x) => {
            format!("the bound has passed: W answers `everywhere` for x{x}")
        }
        Action::CarryOver(x) if before.servers[1].holds(x) => format!("W finds x{x} on TL2"),
        Action::CarryOver(x) => format!("W writes x{x} back to TL2, xid {}", xid(x, 2)),
        Action::OthersPutBack(x) => {
            format!("another holder writes x{x} back to TL2, xid {}", xid(x, 2))
        }
        _ => format!("{action:?}"),
    }
}

fn of(state: &State, slot: usize) -> String {
    state.messages[slot].map_or_else(String::new, |message| {
        let given_up = if message.orphan { " (given up)" } else { "" };
        format!("{} to TL{}{given_up}", question(message), message.server)
    })
}

fn question(message: Message) -> String {
    match message.question {
        Question::Register => "its registration".to_owned(),
        Question::Load => "its load".to_owned(),
        Question::Beat => format!("a beat naming {}", snapshot(message.since)),
    }
}

fn seen(after: &State, slot: usize) -> String {
    let Some(message) = after.messages[slot] else {
        return String::new();
    };
    if message.question == Question::Register {
        return String::new();
    }
    format!(
        ", it sees xids {{{}}} and brings {}",
        bits(message.sees, ""),
        if message.brings == 0 {
            "nothing".to_owned()
        } else {
            bits(message.brings, "x")
        }
    )
}

fn written(before: &State, after: &State, slot: usize) -> &'static str {
    let stage = after.messages[slot].map(|message| (message.stage, message.hit));
    let server = before.messages[slot].map_or(1, |message| message.server);
    match stage {
        Some((Stage::Waiting { .. }, _)) => "it is in the log and waits for the standby",
        Some((_, false)) => "it finds no row",
        None if !after.server(server).row.present => "it finds no row",
        _ => "it commits",
    }
}

fn promoted(before: &State, after: &State) -> String {
    let lost = (0..ROOM).filter(|&x| before.servers[0].holds(x) && !after.servers[1].holds(x));
    let lost = lost.fold(0, |lost, x| lost | 1 << x);
    let row_lost = before.servers[0].row_log != after.servers[1].row;
    format!(
        "the standby is promoted (TL2){}{}{}",
        if lost == 0 {
            String::new()
        } else {
            format!("; {} lost", bits(lost, "x"))
        },
        if row_lost {
            "; R's last write is lost"
        } else {
            ""
        },
        if after.first_alive {
            "; the old primary lives on"
        } else {
            ""
        },
    )
}

fn consequences(before: &State, after: &State) -> String {
    let mut told = Vec::new();
    let (old, new) = (&before.reader, &after.reader);
    if new.registered != old.registered && new.up {
        if new.registered == 0 {
            told.push("; R must register anew".to_owned());
        } else {
            told.push(format!("; R is registered on TL{}", new.registered));
        }
    }
    if new.set != old.set && new.up {
        told.push(format!("; R holds {{{}}}", bits(new.set, "x")));
    }
    if new.lease > old.lease {
        told.push(format!("; R trusts for {} ticks", new.lease));
    } else if new.lease == 0 && old.lease > 0 {
        told.push("; R trusts no more".to_owned());
    }
    if after.first_alive != before.first_alive && before.promoted {
        told.push("; the old primary is dead".to_owned());
    }
    for x in 0..ROOM {
        let wrong = |state: &State| state.everywhere(x) && state.accepts(x);
        if wrong(after) && !wrong(before) {
            told.push(format!("  <-- R ACCEPTS x{x} AFTER `everywhere`"));
        }
    }
    if after.accepted_late && !before.accepted_late {
        told.push("  <-- R ACCEPTED AFTER `everywhere`".to_owned());
    }
    if after.forgot && !before.forgot {
        told.push("  <-- R ACCEPTS AGAIN WHAT IT REFUSED".to_owned());
    }
    told.concat()
}

fn row(row: Row) -> String {
    if row.present {
        format!("R's row showing {}", snapshot(row.snapshot))
    } else {
        "no row of R".to_owned()
    }
}

fn snapshot(snapshot: Snapshot) -> String {
    match snapshot.timeline {
        0 => "the empty snapshot".to_owned(),
        timeline => format!("S = {{{}}} of TL{timeline}", bits(snapshot.xids, "")),
    }
}

fn bits(bits: Bits, prefix: &str) -> String {
    let names: Vec<String> = (0..ROOM)
        .filter(|&x| has(bits, x))
        .map(|x| format!("{prefix}{x}"))
        .collect();
    names.join(", ")
}
