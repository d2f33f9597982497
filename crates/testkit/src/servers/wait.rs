//! Waiting for the thing itself, for a bounded time, with an error that shows the server's log.

use std::{
    fmt::Write as _,
    fs,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process};

/// How long a start, or what a fault brings about, may take on a busy machine.
pub(super) const LIMIT: Duration = Duration::from_mins(1);

/// How long one question to a server may take.
pub(super) const ANSWER: Duration = Duration::from_secs(10);

/// How long between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// How much of a log an error shows.
const TAIL: usize = 2_000;

/// A wait that ends.
pub(super) struct Patience {
    what: String,
    limit: Duration,
    started: Instant,
}

impl Patience {
    /// Waits for `what`, at most for `limit` from now on.
    pub(super) fn new(what: &str, limit: Duration) -> Self {
        Self {
            what: what.to_owned(),
            limit,
            started: Instant::now(),
        }
    }

    /// Pauses before the next look, or gives up and tells why the last one failed.
    pub(super) async fn not_yet(&self, why: anyhow::Error) -> Result<()> {
        if self.started.elapsed() > self.limit {
            let (what, limit) = (&self.what, self.limit);
            return Err(why.context(format!("{what} did not come within {limit:?}")));
        }
        tokio::time::sleep(PAUSE).await;
        Ok(())
    }
}

/// Asks until the answer is right, at most for `limit`; the last error is the one that is told.
pub(super) async fn eventually<T, F>(
    what: &str,
    limit: Duration,
    mut probe: impl FnMut() -> F,
) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    let patience = Patience::new(what, limit);
    loop {
        let why = match tokio::time::timeout(ANSWER, probe()).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => error,
            Err(_) => anyhow!("no answer within {ANSWER:?}"),
        };
        patience.not_yet(why).await?;
    }
}

/// Runs a command that must succeed within `limit`; what it prints, without the last line's end.
pub(super) async fn output(mut command: Command, limit: Duration) -> Result<String> {
    let shown = command.get_program().to_string_lossy().into_owned();
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| {
            format!("cannot run {shown}: `cargo xtask test` installs what is missing")
        })?;
    let pid = Pid::from_child(&child);
    let waiting = tokio::task::spawn_blocking(move || child.wait_with_output());
    let Ok(done) = tokio::time::timeout(limit, waiting).await else {
        let _ = kill_process(pid, Signal::KILL);
        bail!("{shown} did not end within {limit:?}");
    };
    let done = done??;
    if !done.status.success() {
        bail!(
            "{shown} failed: {}",
            String::from_utf8_lossy(&done.stderr).trim()
        );
    }
    Ok(String::from_utf8_lossy(&done.stdout).trim_end().to_owned())
}

/// The last lines of these logs, for an error.
pub(super) fn tails<'a>(logs: impl IntoIterator<Item = &'a Path>) -> String {
    let mut text = String::new();
    for log in logs {
        let all = fs::read_to_string(log).unwrap_or_default();
        let from = all.len().saturating_sub(TAIL);
        let from = (from..all.len()).find(|at| all.is_char_boundary(*at));
        let name = log.file_name().unwrap_or_default().to_string_lossy();
        let _ = write!(text, "\n--- {name}:\n{}", &all[from.unwrap_or(all.len())..]);
    }
    text
}
