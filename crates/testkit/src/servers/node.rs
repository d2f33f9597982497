//! One PostgreSQL server and the faults that happen to it.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use super::{
    daemon::Daemon,
    ports::Port,
    sandbox::{Room, signal_members},
    template::{SUPERUSER_PASSWORD, clients, programs},
    wait::{ANSWER, LIMIT, Patience, eventually, output, tails},
};

/// A PostgreSQL server in a data directory of its own. It keeps its port while it is down.
#[derive(Debug)]
pub struct Node {
    room: Room,
    programs: PathBuf,
    clients: PathBuf,
    data: PathBuf,
    log: PathBuf,
    port: Port,
    daemon: Option<Daemon>,
    frozen: Vec<Pid>,
}

impl Node {
    /// For the data directory `data`; nothing is started.
    pub(super) fn new(room: &Room, data: PathBuf) -> Result<Self> {
        Ok(Self {
            room: room.clone(),
            programs: programs()?,
            clients: clients()?,
            log: data.with_extension("log"),
            data,
            port: Port::free()?,
            daemon: None,
            frozen: Vec::new(),
        })
    }

    /// Its TCP port.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// Its loopback address.
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// Its data directory.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// The URL of a database for the superuser, with the password.
    pub fn url(&self, database: &str) -> String {
        url(self.port(), database)
    }

    /// Creates an empty database; its URL. Fails if there is one of this name.
    pub async fn database(&self, name: &str) -> Result<String> {
        self.database_from("template1", name).await
    }

    /// Creates a database as a copy of another that nobody is connected to; its URL. So that a
    /// schema is migrated once and cloned for each test.
    pub async fn database_from(&self, template: &str, name: &str) -> Result<String> {
        self.execute(&format!(
            r#"create database "{name}" template "{template}""#
        ))
        .await?;
        Ok(self.url(name))
    }

    /// Runs SQL in the database `postgres`; see [`Self::execute_in`].
    pub async fn execute(&self, sql: &str) -> Result<String> {
        self.execute_in("postgres", sql).await
    }

    /// Runs SQL as the superuser over the Unix socket, which no fault of the network touches; the
    /// rows, a line each, columns separated by `|`. An answer is waited for 10 seconds.
    pub async fn execute_in(&self, database: &str, sql: &str) -> Result<String> {
        let mut psql = self.program("psql");
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"])
            .args(["-U", "postgres", "-d", database, "-p"])
            .arg(self.port().to_string())
            .arg("-h")
            .arg(self.room.folder())
            .args(["-c", sql]);
        output(psql, ANSWER).await
    }

    /// Runs a client program of PostgreSQL, such as `psql` or `pgbench`, in this database as the
    /// superuser over the Unix socket; what it printed. It must end within `limit`.
    pub async fn client(
        &self,
        program: &str,
        database: &str,
        arguments: &[&str],
        limit: Duration,
    ) -> Result<String> {
        let mut client = self.program(program);
        client
            .args(["-U", "postgres", "-d", database, "-p"])
            .arg(self.port().to_string())
            .arg("-h")
            .arg(self.room.folder())
            .args(arguments);
        output(client, limit).await
    }

    /// The process of the server that the others come from.
    pub fn pid(&self) -> Result<u32> {
        let pid = fs::read_to_string(self.data.join("postmaster.pid"))?;
        Ok(pid
            .lines()
            .next()
            .context("an empty file")?
            .trim()
            .parse()?)
    }

    /// Sets a parameter for good and loads it; not one that needs a restart.
    pub async fn set(&self, parameter: &str, value: &str) -> Result<()> {
        self.execute(&format!("alter system set {parameter} = '{value}'"))
            .await?;
        self.execute("select pg_reload_conf()").await?;
        Ok(())
    }

    /// Starts it and waits until it takes connections.
    pub async fn start(&mut self) -> Result<()> {
        let mut postgres = self.program("postgres");
        postgres
            .arg("-D")
            .arg(&self.data)
            .arg("-p")
            .arg(self.port().to_string());
        let daemon = self
            .daemon
            .insert(Daemon::start("postgres", postgres, &self.log)?);
        let status = self.data.join("postmaster.pid");
        let pid = daemon.pid().to_string();
        let patience = Patience::new("PostgreSQL", LIMIT);
        while let Err(why) = ready(&status, &pid) {
            daemon.check()?;
            if let Err(late) = patience.not_yet(why).await {
                return Err(late.context(daemon.tail()));
            }
        }
        Ok(())
    }

    /// A fast shutdown: sessions are ended, nothing is lost.
    pub async fn stop(&mut self) -> Result<()> {
        self.daemon()?.stop(Signal::INT, LIMIT).await?;
        self.daemon = None;
        Ok(())
    }

    /// [`Self::stop`], then [`Self::start`].
    pub async fn restart(&mut self) -> Result<()> {
        self.stop().await?;
        self.start().await
    }

    /// kill -9 of the postmaster and all of its children, as when the machine dies. What was
    /// acknowledged is there after the next start.
    pub async fn kill9(&mut self) -> Result<()> {
        let data = self.data.clone();
        let mut daemon = self.daemon.take().context("it does not run")?;
        daemon.kill9()?;
        eventually("the end of PostgreSQL", LIMIT, || async {
            signal_members(&data, Signal::KILL)?;
            let left = super::sandbox::members(&data)?;
            ensure!(left.is_empty(), "{left:?} are left");
            Ok(())
        })
        .await
    }

    /// SIGSTOP of the postmaster and all of its children: the server hangs, connections stay open.
    pub fn freeze(&self) -> Result<()> {
        signal_members(&self.data, Signal::STOP)
    }

    /// Undoes [`Self::freeze`] and [`Self::freeze_senders`].
    pub fn thaw(&mut self) -> Result<()> {
        self.frozen.clear();
        signal_members(&self.data, Signal::CONT)
    }

    /// SIGSTOP of the walsenders: commits go on here and are shipped to nobody, so a promotion of a
    /// standby loses them. Freezing the receivers would lose nothing: the kernel has the data.
    pub async fn freeze_senders(&mut self) -> Result<()> {
        let senders = self
            .execute("select pid from pg_stat_activity where backend_type = 'walsender'")
            .await?;
        ensure!(!senders.is_empty(), "no standby is connected");
        for sender in senders.lines() {
            let pid = Pid::from_raw(sender.parse()?).context("no pid")?;
            kill_process(pid, Signal::STOP)?;
            self.frozen.push(pid);
        }
        Ok(())
    }

    /// SIGCONT of the walsenders that were frozen; those that ended since are no matter.
    pub fn thaw_senders(&mut self) -> Result<()> {
        let alive = super::sandbox::members(&self.data)?;
        for pid in self.frozen.drain(..).filter(|pid| alive.contains(pid)) {
            let _ = kill_process(pid, Signal::CONT);
        }
        Ok(())
    }

    /// The disk is full: no file of the server grows beyond so many bytes, which PostgreSQL meets as
    /// it meets a full disk where the bound lies within a page (53100), and within a segment of its
    /// log (a PANIC). `None`: there is room again. What is started anew has room.
    pub async fn bound_files(&self, bytes: Option<u64>) -> Result<()> {
        let bound = bytes.map_or("unlimited".to_owned(), |bytes| bytes.to_string());
        let postmaster = Pid::from_raw(self.pid()?.try_into()?);
        let mut bounded = Vec::new();
        loop {
            let mut new = super::sandbox::members(&self.data)?;
            new.retain(|pid| !bounded.contains(pid));
            if new.is_empty() {
                return Ok(());
            }
            // First the one that the others come from: what comes after it has the bound.
            new.sort_by_key(|pid| Some(*pid) != postmaster);
            for pid in new {
                // By their account, which may do so without any privilege.
                let mut prlimit = self.room.command("prlimit", self.room.folder());
                prlimit
                    .arg(format!("--pid={}", pid.as_raw_nonzero()))
                    .arg(format!("--fsize={bound}:"));
                let done = output(prlimit, ANSWER).await;
                // It may be gone by now.
                if super::sandbox::members(&self.data)?.contains(&pid) {
                    done?;
                }
                bounded.push(pid);
            }
        }
    }

    /// A standby: what it receives is not shown any more, until [`Self::resume_replay`].
    pub async fn pause_replay(&self) -> Result<()> {
        self.execute("select pg_wal_replay_pause()").await?;
        eventually("the pause", LIMIT, || async {
            let state = self
                .execute("select pg_get_wal_replay_pause_state()")
                .await?;
            ensure!(state == "paused", "the replay is {state}");
            Ok(())
        })
        .await
    }

    /// A standby: undoes [`Self::pause_replay`].
    pub async fn resume_replay(&self) -> Result<()> {
        self.execute("select pg_wal_replay_resume()").await?;
        Ok(())
    }

    /// A standby: commits are shown so much later than they were made; 0 ends it.
    pub async fn delay(&self, by: Duration) -> Result<()> {
        let milliseconds = format!("{}ms", by.as_millis());
        self.set("recovery_min_apply_delay", &milliseconds).await
    }

    /// A standby: makes it a primary, and waits until it takes writes. Nobody else follows it.
    pub async fn promote(&self) -> Result<()> {
        let done = self.execute("select pg_promote(true, 60)").await?;
        if done != "t" {
            bail!("the promotion did not end{}", tails([self.log.as_path()]));
        }
        Ok(())
    }

    /// Whether it is a standby.
    pub async fn is_standby(&self) -> Result<bool> {
        Ok(self.execute("select pg_is_in_recovery()").await? == "t")
    }

    /// How many standbys stream from it.
    pub async fn streaming(&self) -> Result<usize> {
        let count = "select count(*) from pg_stat_replication where state = 'streaming'";
        Ok(self.execute(count).await?.parse()?)
    }

    /// A standby: waits until it shows all that `primary` has committed by now.
    pub async fn caught_up_with(&self, primary: &Self) -> Result<()> {
        let position = primary.execute("select pg_current_wal_lsn()").await?;
        let shown = format!("select pg_last_wal_replay_lsn() >= '{position}'");
        eventually("the replay", LIMIT, || async {
            let shown = self.execute(&shown).await?;
            ensure!(shown == "t", "the standby is behind {position}");
            Ok(())
        })
        .await
    }

    /// Where it logs to.
    pub(super) fn log(&self) -> &Path {
        &self.log
    }

    /// All that it has logged.
    pub fn log_text(&self) -> Result<String> {
        Ok(String::from_utf8_lossy(&fs::read(&self.log)?).into_owned())
    }

    /// The end of its log.
    pub fn log_tail(&self) -> String {
        tails([self.log.as_path()])
    }

    /// One of PostgreSQL's programs, as the servers' account. A server that was chosen may have come
    /// without clients.
    pub(super) fn program(&self, name: &str) -> Command {
        let beside = self.programs.join(name);
        let program = if beside.exists() {
            beside
        } else {
            self.clients.join(name)
        };
        self.room.command(program, self.room.folder())
    }

    fn daemon(&mut self) -> Result<&mut Daemon> {
        self.daemon.as_mut().context("it does not run")
    }
}

/// Fails unless the postmaster with this pid says in its file that it takes connections.
fn ready(status: &Path, pid: &str) -> Result<()> {
    let lines = fs::read_to_string(status)?;
    let lines: Vec<&str> = lines.lines().map(str::trim).collect();
    ensure!(
        lines.first() == Some(&pid),
        "this is another's {}",
        status.display()
    );
    ensure!(lines.get(7) == Some(&"ready"), "it is still starting");
    Ok(())
}

/// The URL of a database on a loopback port for the superuser of the template.
pub(super) fn url(port: u16, database: &str) -> String {
    url_of([port], database)
}

/// The same for servers on several ports.
pub(super) fn url_of(ports: impl IntoIterator<Item = u16>, database: &str) -> String {
    let hosts = ports.into_iter().map(|port| format!("127.0.0.1:{port}"));
    let hosts = hosts.collect::<Vec<_>>().join(",");
    format!("postgres://postgres:{SUPERUSER_PASSWORD}@{hosts}/{database}")
}
