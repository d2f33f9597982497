//! For tests: the service is killed at a step of an event's way. Not in release builds.
//!
//! `WELCOME_FAILPOINT=effected@3` kills welcome (SIGKILL: nothing is flushed, nobody is told) when the
//! step [`Step::Effected`] is passed for the third time.

use rustix::process::{Signal, getpid, kill_process};
use sso_events::failpoint::{self, Step};

use crate::{Exit, Failed};

/// Obeys the variable of this program, if it is set.
pub(crate) fn install(program: &str) -> Result<(), Failed> {
    let variable = format!("{}_FAILPOINT", program.to_uppercase());
    let Ok(wanted) = std::env::var(&variable) else {
        return Ok(());
    };
    let point = Step::parse(&wanted).ok_or_else(|| {
        let why = format!("{variable} must be a step and a number, such as effected@3");
        Failed::new(Exit::Configuration, why)
    })?;
    failpoint::end_at(point, || {
        let _ = kill_process(getpid(), Signal::KILL);
    });
    Ok(())
}
