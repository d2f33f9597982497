//! Talking to the supervisor: a line over its socket, an answer to the end.

use std::{
    env, fs,
    fs::File,
    io::{ErrorKind, Read},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    time::sleep,
};

/// Longest wait for everything to be ready; a first start makes what later ones find in a cache.
const READY: Duration = Duration::from_mins(3);
/// The supervisor's last word of a good start.
pub(crate) const IS_READY: &str = "ready";

/// Where the supervisor keeps its socket and its log.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/stack")
}

pub(crate) fn socket() -> PathBuf {
    folder().join("control.sock")
}

fn log() -> PathBuf {
    folder().join("supervisor.log")
}

/// Asks the supervisor.
pub(crate) async fn ask(question: &str) -> Result<String> {
    let stream = UnixStream::connect(socket()).await;
    let mut stream = stream.context("nothing is up: `cargo xtask stack up`")?;
    stream
        .write_all(format!("{}\n", question.trim()).as_bytes())
        .await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

/// Starts the supervisor in the background and shows what it says until it is ready.
pub(crate) async fn up() -> Result<()> {
    if let Ok(status) = ask("status").await {
        println!("it is up already\n{}", status.trim_end());
        return Ok(());
    }
    fs::create_dir_all(folder())?;
    let file = File::create(log())?;
    let mut supervisor = Command::new(env::current_exe()?)
        .arg("run")
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        // Not of our group: Ctrl-C here leaves it alone.
        .process_group(0)
        .spawn()?;
    let mut said = File::open(log())?;
    let started = Instant::now();
    loop {
        let mut news = String::new();
        match said.read_to_string(&mut news) {
            Err(error) if error.kind() == ErrorKind::InvalidData => {}
            read => {
                read?;
            }
        }
        for line in news.lines().filter(|line| *line != IS_READY) {
            println!("{line}");
        }
        if news.lines().any(|line| line == IS_READY) {
            println!("{}", ask("status").await?.trim_end());
            return Ok(());
        }
        if let Some(status) = supervisor.try_wait()? {
            bail!("the supervisor ended with {status}: {}", log().display());
        }
        if started.elapsed() > READY {
            supervisor.kill()?;
            bail!("not ready within {READY:?}: {}", log().display());
        }
        sleep(Duration::from_millis(100)).await;
    }
}
