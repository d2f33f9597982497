//! One of our services (not `sso` itself) in a folder of its own, on a free loopback port; killed when
//! dropped.

mod readiness;

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

pub use self::readiness::{DEGRADED, READY, UNREADY, Whole};
use crate::{http::Http, process::free_port};

/// How long a start, an end, or whatever is waited for, may take.
const LIMIT: Duration = Duration::from_mins(1);

/// Where a service is started from: its binary, its folder, its settings. Outlives its processes, so
/// that one can be killed and another started on the same data.
#[derive(Debug)]
pub struct Program {
    name: &'static str,
    binary: PathBuf,
    folder: TempDir,
    address: SocketAddr,
    settings: Vec<(String, String)>,
}

impl Program {
    /// A new folder for the service `name` (which is also its prefix), with logs as JSON.
    pub fn new(name: &'static str, binary: impl AsRef<Path>) -> Result<Self> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        let mut program = Self {
            name,
            binary: binary.as_ref().to_owned(),
            folder: TempDir::with_prefix("sso-test-")?,
            address,
            settings: Vec::new(),
        };
        program
            .set("http.listen", address)
            .set("log.format", "json");
        Ok(program)
    }

    /// Another instance with the same settings, on a port and in a folder of its own.
    pub fn another(&self) -> Result<Self> {
        let mut other = Self::new(self.name, &self.binary)?;
        let own = self.variable("http.listen");
        for (name, value) in self.settings.iter().filter(|(name, _)| *name != own) {
            other.settings.push((name.clone(), value.clone()));
        }
        Ok(other)
    }

    /// Sets a key, such as `http.listen`, of every process that is started here from now on.
    pub fn set(&mut self, key: &str, value: impl std::fmt::Display) -> &mut Self {
        let name = self.variable(key);
        self.settings.retain(|(known, _)| *known != name);
        self.settings.push((name, value.to_string()));
        self
    }

    /// Sets a variable that is no setting, or with `None` takes it away.
    pub fn set_variable(&mut self, name: &str, value: Option<&str>) -> &mut Self {
        self.settings.retain(|(known, _)| known != name);
        let value = value.map(|value| (name.to_owned(), value.to_owned()));
        self.settings.extend(value);
        self
    }

    fn variable(&self, key: &str) -> String {
        let key = key.replace('.', "__").to_uppercase();
        format!("{}__{key}", self.name.to_uppercase())
    }

    /// The folder of this service.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Runs a command to its end.
    pub fn run(&self, arguments: &[&str]) -> Result<Output> {
        self.command(arguments)
            .output()
            .context("cannot run the binary")
    }

    /// Runs a command that must succeed; its standard output.
    pub fn run_ok(&self, arguments: &[&str]) -> Result<String> {
        let output = self.run(arguments)?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{arguments:?} failed: {said}");
        Ok(String::from_utf8(output.stdout)?)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command
            .args(arguments)
            .env_clear()
            .envs(self.settings.iter().cloned())
            .current_dir(self.folder.path())
            .stdin(Stdio::null());
        command
    }

    /// Starts it, without waiting.
    pub fn spawn(&self) -> Result<Running> {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.folder.path().join("service.log"))?;
        let child = self
            .command(&["serve"])
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        Ok(Running {
            name: self.name,
            child,
            http: Http::new(self.address),
            address: self.address,
        })
    }

    /// Starts it and waits until it is ready.
    pub async fn start(&self) -> Result<Running> {
        let mut running = self.spawn()?;
        let path = format!("/{}/ready", self.name);
        let started = Instant::now();
        loop {
            if let Some(status) = running.child.try_wait()? {
                bail!("{} ended with {status}: {}", self.name, self.log()?);
            }
            let reply = running.http.get(&path, None).await;
            if reply.is_ok_and(|reply| reply.status == 200) {
                return Ok(running);
            }
            ensure!(started.elapsed() < LIMIT, "not ready: {}", self.log()?);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// What its processes have logged.
    pub fn log(&self) -> Result<String> {
        let log = self.folder.path().join("service.log");
        Ok(std::fs::read_to_string(log)?)
    }
}

/// A running service.
#[derive(Debug)]
pub struct Running {
    name: &'static str,
    child: Child,
    /// Its HTTP API.
    pub http: Http,
    /// Where that is, with its metrics.
    pub address: SocketAddr,
}

impl Running {
    /// kill -9.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// SIGTERM, and waits for the end.
    pub async fn stop(&mut self) -> Result<ExitStatus> {
        kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        self.ended().await
    }

    /// Waits for its end.
    pub async fn ended(&mut self) -> Result<ExitStatus> {
        let started = Instant::now();
        loop {
            if let Some(status) = self.status()? {
                return Ok(status);
            }
            ensure!(started.elapsed() < LIMIT, "it does not end");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// How it ended; `None`: it runs.
    pub fn status(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// A series of its metrics that is a whole number, such as `welcome_mails_total{outcome="sent"}`.
    pub async fn metric(&self, series: &str) -> Result<i64> {
        self.http.metric(series).await
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Also on panic. It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The binary `name` that cargo has built beside `binary`.
pub fn sibling(binary: &str, name: &str) -> Result<PathBuf> {
    let path = Path::new(binary).with_file_name(name);
    ensure!(
        path.exists(),
        "this test needs {}: build the workspace's binaries first",
        path.display()
    );
    Ok(path)
}
