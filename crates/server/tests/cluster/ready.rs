//! Whether an instance told the truth of itself while its cluster failed over.

use std::time::Duration;

use sso_testkit::{
    history::{Action, Call, Outcome},
    readiness::{Told, WITHIN},
};

use crate::observer::Outage;

/// How long the database may be away until that is said: the beat's patience, and a busy machine.
const SAID_WITHIN: Duration = Duration::from_secs(4);
/// A busy machine may hold up some answers; a dependency that hangs would hold up all.
const TRIES: usize = 5;

/// What was said that was not so, in what an instance answered while its writes were out for `outage`.
pub(crate) fn lies(told: &[Told], outage: Outage, calls: &[&Call]) -> Vec<String> {
    let mut lies = Vec::new();
    if told.len() < TRIES {
        lies.push(format!("it was asked {} times", told.len()));
    }
    if let Some(late) = told.windows(TRIES).find(|all| {
        all.iter()
            .all(|told| told.end.saturating_sub(told.start) > WITHIN)
    }) {
        lies.push(format!("it took its time: {late:?}"));
    }
    if outage.length() > SAID_WITHIN {
        let said = said_after(told, outage);
        if said.is_none_or(|after| after > SAID_WITHIN) {
            lies.push(format!(
                "nothing was written for {:?}, and said after {said:?}",
                outage.length()
            ));
        }
    }
    if let Some(last) = told.last()
        && !(last.ready && last.down.is_empty())
    {
        lies.push(format!("all is well, and it says {last:?}"));
    }
    // Between two answers that say the same nothing else was so.
    for between in told.windows(2) {
        let [before, after] = between else { continue };
        if before.ready != after.ready {
            continue;
        }
        let contrary = calls.iter().find(|call| {
            let inside = call.start > before.end && call.end < after.start;
            inside && validated(call) == Some(!before.ready)
        });
        if let Some(contrary) = contrary {
            lies.push(format!("{before:?} and {after:?}, and {contrary:?}"));
        }
    }
    lies
}

/// How long after the beginning of the outage it was said.
pub(crate) fn said_after(told: &[Told], outage: Outage) -> Option<Duration> {
    let mut during = told
        .iter()
        .filter(|told| told.end > outage.from && told.start < outage.to);
    let first = during.find(|told| told.is_down("database"))?;
    Some(first.end.saturating_sub(outage.from))
}

/// Whether a token was validated; `None`: that was not what was asked.
fn validated(call: &Call) -> Option<bool> {
    let asked = matches!(call.action, Action::Validate { .. });
    asked.then_some(matches!(call.outcome, Outcome::Done { .. }))
}
