//! `healthcheck`: for container runtimes and people in a hurry.

use std::time::Duration;

use sso_config::Sections;
use sso_web::probe::{self, MAX_ANSWER};

use crate::{Configured, Exit, Failed};

/// Asks `/<program>/ready` of the configured address; what it says.
pub(super) fn run<C: Configured + Sections>(
    config: &C,
    timeout: Duration,
) -> Result<String, Failed> {
    let address = probe::loopback(config.common().http.listen);
    let path = format!("/{}/ready", C::PROGRAM);
    let answer = probe::connect(address, timeout)
        .and_then(|stream| probe::get(stream, &path, MAX_ANSWER))
        .map_err(|error| {
            let text = format!("no answer from http://{address}: {error}");
            Failed::new(Exit::Unavailable, text)
        })?;
    match probe::ready(&answer) {
        Ok(body) => Ok(body.to_owned()),
        Err(body) => Err(Failed::new(Exit::Failure, format!("not ready: {body}"))),
    }
}
