//! Standard error that somebody holds and nobody reads.

use std::{
    fs::File,
    io::Read,
    sync::{Mutex, PoisonError, mpsc},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use tokio::time::timeout;

use crate::support::{eventually_within, site};

const LONG: Duration = Duration::from_mins(1);
/// Each has a line of the log, and a pipe holds a few hundred.
const REQUESTS: usize = 2_000;
/// No request waits for the reader for longer, and only the first does at all.
const LONGEST: Duration = Duration::from_secs(2);

#[tokio::test]
async fn a_reader_of_the_log_that_hangs_holds_nobody_up_and_is_told_what_he_missed() -> Result<()> {
    let mut site = site()?;
    site.set("SSO__LOG__LEVEL", "debug")
        .set("SSO__THROTTLE__ENABLED", false);
    // A pipe in the place of the file that the servers of a site write to.
    let log = site.folder().join("server.log");
    mknodat(CWD, &log, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
    // Both ends, or there would be no reader at the start.
    let mut reader = File::options().read(true).write(true).open(&log)?;
    let server = site.serve().await?;

    for _ in 0..REQUESTS {
        let asked = timeout(LONGEST, server.http.get("/auth/info", Some("no token")));
        let reply = asked.await.context("it waits for the reader")??;
        ensure!(reply.status == 401, "{reply:?}");
    }
    let dropped = server
        .admin
        .metric::<u64>("sso_log_lines_dropped_total")
        .await?;
    ensure!(dropped > 100, "only {dropped} lines were dropped");

    // Whoever reads again hears how many lines are missing.
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        let mut read = vec![0; 4096];
        while let Ok(count @ 1..) = reader.read(&mut read) {
            let text = String::from_utf8_lossy(&read[..count]).into_owned();
            if tell.send(text).is_err() {
                return;
            }
        }
    });
    let text = Mutex::new(String::new());
    eventually_within(LONG, "what was missed", async || {
        let mut text = text.lock().unwrap_or_else(PoisonError::into_inner);
        text.extend(told.try_iter());
        Ok(text.contains("lines of the log were dropped"))
    })
    .await
}
