//! For tests: the process is killed at a step of an event's way. Not in release builds.
//!
//! `SSO_FAILPOINT=sent@3` kills it (SIGKILL: nothing is flushed, nobody is told) when the step
//! [`Step::Sent`] is passed for the third time.

use rustix::process::{Signal, getpid, kill_process};
use sso_events::failpoint::{self, Step};

use crate::exit::{Exit, Failed};

const VARIABLE: &str = "SSO_FAILPOINT";

/// Obeys the variable, if it is set.
pub(super) fn install() -> Result<(), Failed> {
    let Ok(wanted) = std::env::var(VARIABLE) else {
        return Ok(());
    };
    let point = Step::parse(&wanted).ok_or_else(|| {
        let why = format!("{VARIABLE} must be a step and a number, such as sent@3");
        Failed::new(Exit::Configuration, why)
    })?;
    failpoint::end_at(point, || {
        let _ = kill_process(getpid(), Signal::KILL);
    });
    Ok(())
}
