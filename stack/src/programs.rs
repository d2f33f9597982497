//! Our own programs.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result};
use rustix::process::Signal;
use sso_testkit::{
    http::Http,
    servers::{Daemon, Port, Room},
};
use tokio::time::{Instant, sleep};

/// Longest wait for a program to be ready.
const READY: Duration = Duration::from_secs(30);
/// Longest wait for it to drain.
const DRAIN: Duration = Duration::from_secs(40);

/// One of our programs with its settings; it can be killed and started again.
pub(crate) struct Program {
    pub(crate) name: &'static str,
    binary: &'static str,
    settings: Vec<(String, String)>,
    /// Whose `ready` says that it is ready.
    pub(crate) http: Port,
    ready: &'static str,
    folder: PathBuf,
    log: PathBuf,
    daemon: Option<Daemon>,
    /// Where else it listens.
    more: Vec<Port>,
}

/// What a program is.
pub(crate) struct Kind {
    pub(crate) binary: &'static str,
    pub(crate) ready: &'static str,
}

pub(crate) const SSO: Kind = Kind {
    binary: "sso",
    ready: "/auth/ready",
};
pub(crate) const WELCOME: Kind = Kind {
    binary: "welcome",
    ready: "/welcome/ready",
};
pub(crate) const LOYALTY: Kind = Kind {
    binary: "loyalty",
    ready: "/loyalty/ready",
};

impl Program {
    pub(crate) fn new(name: &'static str, kind: &Kind, room: &Room) -> Result<Self> {
        Ok(Self {
            name,
            binary: kind.binary,
            settings: Vec::new(),
            http: Port::free()?,
            ready: kind.ready,
            folder: room.subfolder(name)?,
            log: room.folder().join(format!("{name}.log")),
            daemon: None,
            more: Vec::new(),
        })
    }

    /// Sets a variable of its environment.
    pub(crate) fn set(&mut self, name: &str, value: impl std::fmt::Display) -> &mut Self {
        self.settings.push((name.to_owned(), value.to_string()));
        self
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.http.address()
    }

    /// Keeps a port that it listens on.
    pub(crate) fn keep(&mut self, port: Port) {
        self.more.push(port);
    }

    /// Where else it listens, in the order in which that was kept.
    pub(crate) fn also(&self, number: usize) -> Result<SocketAddr> {
        let port = self.more.get(number).context("no such port")?;
        Ok(port.address())
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// A command of the program with its settings.
    pub(crate) fn command(&self, arguments: &[&str]) -> Result<Command> {
        let beside = std::env::current_exe()?;
        let binary = beside.with_file_name(self.binary);
        let mut command = Command::new(binary);
        command
            .args(arguments)
            .env_clear()
            .envs(self.settings.iter().cloned())
            // What runs in the sandbox's folder ends with it.
            .current_dir(&self.folder);
        Ok(command)
    }

    /// Runs a command of the program to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Result<()> {
        let output = self.command(arguments)?.output()?;
        anyhow::ensure!(
            output.status.success(),
            "{} {}: {}",
            self.binary,
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(())
    }

    pub(crate) fn start(&mut self) -> Result<()> {
        let command = self.command(&["serve"])?;
        self.daemon = Some(Daemon::start(self.name, command, &self.log)?);
        Ok(())
    }

    /// Waits until it says that it is ready.
    pub(crate) async fn ready(&mut self) -> Result<()> {
        let end = Instant::now() + READY;
        loop {
            self.check()?;
            if self.is_ready().await {
                return Ok(());
            }
            if Instant::now() > end {
                anyhow::bail!("{} is not ready within {READY:?}{}", self.name, self.tail());
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    pub(crate) async fn is_ready(&self) -> bool {
        let http = Http::new(self.address());
        let reply = tokio::time::timeout(Duration::from_secs(1), http.get(self.ready, None));
        matches!(reply.await, Ok(Ok(reply)) if reply.status == 200)
    }

    fn check(&mut self) -> Result<()> {
        self.daemon.as_mut().context("it does not run")?.check()
    }

    pub(crate) fn kill(&mut self) -> Result<()> {
        self.daemon.as_mut().context("it does not run")?.kill9()
    }

    pub(crate) fn daemon(&self) -> Result<&Daemon> {
        self.daemon.as_ref().context("it does not run")
    }

    pub(crate) fn tail(&self) -> String {
        self.daemon.as_ref().map(Daemon::tail).unwrap_or_default()
    }

    pub(crate) async fn stop(&mut self) -> Result<()> {
        match &mut self.daemon {
            Some(daemon) => daemon.stop(Signal::TERM, DRAIN).await,
            None => Ok(()),
        }
    }
}
