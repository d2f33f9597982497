//! For tests: the process is killed at a step of an event's way. Not in release builds.

use sso_events::failpoint;

use crate::exit::{Exit, Failed};

/// Obeys the variable, if it is set.
pub(super) fn install() -> Result<(), Failed> {
    failpoint::obey("SSO_FAILPOINT", "sent@3").map_err(|why| Failed::new(Exit::Configuration, why))
}
