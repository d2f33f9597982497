//! The real binary in a folder of its own, on free loopback ports; killed when dropped.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::{
    http::Http,
    persona::{self, Grpc},
};

/// How long a start, or a whole command, may take before a test gives up.
const START: Duration = Duration::from_secs(20);

/// A free loopback port. Somebody else may take it before it is used: start again then.
pub fn free_port() -> Result<u16> {
    let [port] = free_ports()?;
    Ok(port)
}

/// Several, no two alike: each is held until all are found.
fn free_ports<const N: usize>() -> Result<[u16; N]> {
    let mut held = Vec::with_capacity(N);
    let mut ports = [0; N];
    for port in &mut ports {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        *port = listener.local_addr()?.port();
        held.push(listener);
    }
    Ok(ports)
}

/// Where a server is started from: its binary, its folder, its settings. Outlives its servers, so
/// that one can be killed and another started on the same data.
#[derive(Debug)]
pub struct Site {
    binary: PathBuf,
    folder: TempDir,
    http: SocketAddr,
    grpc: SocketAddr,
    admin: SocketAddr,
    settings: Vec<(String, String)>,
}

impl Site {
    /// A new folder for `binary`, with the settings that tests want: fast hashes and no failure
    /// floor.
    pub fn new(binary: impl AsRef<Path>) -> Result<Self> {
        let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let [http, grpc, admin] = free_ports()?;
        let mut site = Self {
            binary: binary.as_ref().to_owned(),
            folder: TempDir::with_prefix("sso-test-")?,
            http: local(http),
            grpc: local(grpc),
            admin: local(admin),
            settings: Vec::new(),
        };
        let (data, http, grpc, admin) = (site.data_dir(), site.http, site.grpc, site.admin);
        site.set("SSO__DATA_DIR", data.display())
            .set("SSO__HTTP__LISTEN", http)
            .set("SSO__GRPC__LISTEN", grpc)
            .set("SSO__ADMIN__LISTEN", admin)
            .set("SSO__PASSWORDS__ARGON2_MEMORY", 64)
            .set("SSO__PASSWORDS__ARGON2_ITERATIONS", 1)
            .set("SSO__LOGIN__FAILURE_FLOOR", "1ms")
            .set("SSO__LOG__FORMAT", "json");
        Ok(site)
    }

    /// A new folder for `binary` without any setting, except for the port of gRPC where somebody has
    /// it: its servers have the default ports, so only one can run at a time.
    pub fn development(binary: impl AsRef<Path>) -> Result<Self> {
        let mut site = Self::new(binary)?;
        site.settings.clear();
        let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        (site.http, site.grpc, site.admin) = (local(8000), local(44_044), local(8000));
        // This one is among the ports that the kernel gives to whoever connects somewhere.
        if TcpListener::bind(site.grpc).is_err() {
            site.grpc = local(free_port()?);
            let elsewhere = site.grpc;
            site.set("SSO__GRPC__LISTEN", elsewhere);
        }
        Ok(site)
    }

    /// Sets an environment variable of every process that is started here from now on.
    pub fn set(&mut self, name: &str, value: impl std::fmt::Display) -> &mut Self {
        self.unset(name);
        self.settings.push((name.to_owned(), value.to_string()));
        self
    }

    /// Leaves a setting at its default.
    pub fn unset(&mut self, name: &str) -> &mut Self {
        self.settings.retain(|(key, _)| key != name);
        self
    }

    /// The folder of this site.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// `data_dir`.
    pub fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// A command of the binary with the settings of this site and none of the environment's.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command
            .args(arguments)
            .env_clear()
            .envs(self.settings.iter().cloned())
            .current_dir(self.folder.path())
            .stdin(Stdio::null());
        command
    }

    /// Runs a command to its end, which must come within 20 seconds.
    pub fn run(&self, arguments: &[&str]) -> Result<Output> {
        let mut command = self.command(arguments);
        let child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let pid = Pid::from_child(&child);
        let (ended, end) = mpsc::channel::<()>();
        let watchdog = thread::spawn(move || {
            let late = end.recv_timeout(START) == Err(RecvTimeoutError::Timeout);
            if late {
                let _ = kill_process(pid, Signal::KILL);
            }
            late
        });
        let output = child.wait_with_output();
        drop(ended);
        if watchdog.join().unwrap_or(true) {
            bail!("{arguments:?} did not end within {START:?}");
        }
        output.context("cannot run the binary")
    }

    /// Runs a command that must succeed; its standard output.
    pub fn run_ok(&self, arguments: &[&str]) -> Result<String> {
        let output = self.run(arguments)?;
        if !output.status.success() {
            bail!(
                "{arguments:?} failed: {}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Starts `serve` and waits until it is ready.
    pub async fn serve(&self) -> Result<Server> {
        self.serve_with(&["serve"]).await
    }

    /// Starts the server by these arguments and waits until it is ready.
    ///
    /// Its ports were free when the site was made. If one is the near end of somebody's connection
    /// by now, the server is started again until it is not.
    pub async fn serve_with(&self, arguments: &[&str]) -> Result<Server> {
        let mut server = self.spawn(arguments)?;
        let started = Instant::now();
        loop {
            if let Some(status) = server.child.try_wait()? {
                let log = self.log()?;
                let last = log.trim_end().lines().next_back().unwrap_or_default();
                if last.contains("Address already in use") && started.elapsed() < START {
                    tokio::time::sleep(Duration::from_millis(200)).await;
                    server = self.spawn(arguments)?;
                    continue;
                }
                bail!("the server ended with {status}: {log}");
            }
            if server
                .http
                .get("/auth/ready", None)
                .await
                .is_ok_and(|reply| reply.status == 200)
            {
                return Ok(server);
            }
            if started.elapsed() > START {
                bail!("the server is not ready after {START:?}: {}", self.log()?);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Starts `serve` and waits until `sso healthcheck` says that it is ready: for listeners that
    /// [`Http`] does not speak to.
    pub async fn serve_checked(&self) -> Result<Server> {
        let mut server = self.spawn(&["serve"])?;
        let started = Instant::now();
        while !self.run(&["healthcheck"])?.status.success() {
            if let Some(status) = server.child.try_wait()? {
                bail!("the server ended with {status}: {}", self.log()?);
            }
            if started.elapsed() > START {
                bail!("the server is not ready after {START:?}: {}", self.log()?);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(server)
    }

    /// Starts `serve` and does not wait for anything.
    pub fn start(&self) -> Result<Server> {
        self.spawn(&["serve"])
    }

    fn spawn(&self, arguments: &[&str]) -> Result<Server> {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.folder.path().join("server.log"))?;
        let child = self
            .command(arguments)
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        Ok(Server {
            child,
            http: Http::new(self.http),
            admin: Http::new(self.admin),
            grpc_address: self.grpc,
            http_address: self.http,
            admin_address: self.admin,
        })
    }

    /// What the servers of this site have logged.
    pub fn log(&self) -> Result<String> {
        Ok(std::fs::read_to_string(
            self.folder.path().join("server.log"),
        )?)
    }
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    child: Child,
    /// Its HTTP API.
    pub http: Http,
    /// Its admin listener.
    pub admin: Http,
    /// Where its HTTP API listens.
    pub http_address: SocketAddr,
    /// Where its gRPC API listens.
    pub grpc_address: SocketAddr,
    /// Where its admin listener is.
    pub admin_address: SocketAddr,
}

impl Server {
    /// A gRPC client on a connection of its own.
    pub async fn grpc(&self) -> Result<Grpc> {
        persona::connect(self.grpc_address).await
    }

    /// JSON over HTTP on the gRPC port.
    pub fn grpc_json(&self) -> Http {
        Http::new(self.grpc_address)
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) -> Result<()> {
        Ok(kill_process(Pid::from_child(&self.child), Signal::TERM)?)
    }

    /// Sends SIGHUP.
    pub fn hang_up(&self) -> Result<()> {
        Ok(kill_process(Pid::from_child(&self.child), Signal::HUP)?)
    }

    /// SIGSTOP: it hangs, its connections stay open.
    pub fn freeze(&self) -> Result<()> {
        Ok(kill_process(Pid::from_child(&self.child), Signal::STOP)?)
    }

    /// SIGCONT: the end of [`Self::freeze`].
    pub fn thaw(&self) -> Result<()> {
        Ok(kill_process(Pid::from_child(&self.child), Signal::CONT)?)
    }

    /// kill -9.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// How it has ended, if it has.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Waits for its end, at most for `limit`.
    pub async fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let started = Instant::now();
        loop {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            if started.elapsed() > limit {
                bail!("the server did not end within {limit:?}");
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Resident memory in bytes.
    pub fn resident_bytes(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status
            .lines()
            .find(|line| line.starts_with("VmRSS:"))
            .context("no VmRSS")?;
        let kib: u64 = line
            .split_whitespace()
            .nth(1)
            .context("no number")?
            .parse()?;
        Ok(kib * 1024)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Also on panic. It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
