//! For tests: the process is killed at a step of an event's way. Not in release builds.
//!
//! `SSO_FAILPOINT=sent@3` kills it (SIGKILL: nothing is flushed, nobody is told) when the step
//! [`Step::Sent`] is passed for the third time.

use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::{Signal, getpid, kill_process};
use sso_events::failpoint::{self, Step};

use crate::exit::{Exit, Failed};

const VARIABLE: &str = "SSO_FAILPOINT";

/// Obeys the variable, if it is set.
pub(super) fn install() -> Result<(), Failed> {
    let Ok(wanted) = std::env::var(VARIABLE) else {
        return Ok(());
    };
    let parsed = wanted.split_once('@').and_then(|(name, count)| {
        let step = Step::ALL.into_iter().find(|step| step.name() == name)?;
        Some((step, count.parse().ok().filter(|count| *count > 0)?))
    });
    let (step, count): (Step, u32) = parsed.ok_or_else(|| {
        let why = format!("{VARIABLE} must be a step and a number, such as sent@3");
        Failed::new(Exit::Configuration, why)
    })?;
    let left = AtomicU32::new(count);
    failpoint::install(move |passed| {
        if passed == step && left.fetch_sub(1, Ordering::SeqCst) == 1 {
            let _ = kill_process(getpid(), Signal::KILL);
            // Nothing happens after this step, not even for a moment.
            loop {
                std::thread::park();
            }
        }
    });
    Ok(())
}
