//! A validation that freezes, with its whole process, between its two looks.

use crate::config::Config;
use crate::rules::Rule;
use crate::state::{ROOM, State, has};

/// The first look: at the set, or, in the wrong order, at the lease.
pub(crate) fn first_look(config: &Config, state: &mut State) -> Option<()> {
    let reader = &mut state.reader;
    if !config.slow_validation || !reader.up || reader.looking.is_some() || reader.lease == 0 {
        return None;
    }
    reader.looking = Some(if config.has(Rule::LeaseLast) {
        reader.set
    } else {
        0
    });
    Some(())
}

/// The second look, and the answer.
pub(crate) fn second_look(config: &Config, state: &mut State) -> Option<()> {
    let found = state.reader.looking.take()?;
    let (set, trusted) = if config.has(Rule::LeaseLast) {
        (found, state.reader.lease > 0)
    } else {
        (state.reader.set, true)
    };
    state.accepted_late |= trusted && (0..ROOM).any(|x| state.everywhere(x) && !has(set, x));
    Some(())
}
