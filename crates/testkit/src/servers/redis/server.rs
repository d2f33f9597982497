//! One process of redis-server, as a server or as a sentinel.

use std::{
    env,
    fmt::Write as _,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};

use super::{PASSWORD, SENTINEL_PASSWORD};
use crate::{
    pki::Issued,
    servers::{
        daemon::Daemon,
        ports::Port,
        sandbox::Room,
        wait::{ANSWER, LIMIT, Patience, output},
    },
};

/// The environment variable that names another program than `redis-server`, such as
/// `valkey-server`.
pub const PROGRAM: &str = "SSO_TESTS_REDIS_SERVER";

fn program() -> PathBuf {
    env::var_os(PROGRAM).map_or_else(|| "redis-server".into(), PathBuf::from)
}

/// A Redis server or a sentinel. It keeps its port and its data while it is down.
#[derive(Debug)]
pub struct RedisServer {
    room: Room,
    name: String,
    folder: PathBuf,
    log: PathBuf,
    port: Port,
    sentinel: bool,
    tls: bool,
    daemon: Option<Daemon>,
}

impl RedisServer {
    /// Writes the configuration of a server; `more` is added to it.
    pub(super) fn prepare(room: &Room, name: &str, more: &str) -> Result<Self> {
        let server = Self::new(room, name, false)?;
        let mut text = format!(
            "bind 127.0.0.1
port {}
requirepass {PASSWORD}
# Each may become a replica.
masterauth {PASSWORD}
save \"\"
appendonly yes
appendfsync everysec
repl-diskless-sync yes
repl-diskless-sync-delay 0
repl-ping-replica-period 1
repl-timeout 10
maxmemory 64mb
maxmemory-policy noeviction
enable-debug-command local
",
            server.port.number()
        );
        text.push_str(more);
        server.configure(&text)?;
        Ok(server)
    }

    /// Writes the configuration of a sentinel; `watched` says what it looks after.
    pub(super) fn prepare_sentinel(room: &Room, name: &str, watched: &str) -> Result<Self> {
        let server = Self::new(room, name, true)?;
        server.configure(&format!(
            "bind 127.0.0.1
port {}
requirepass {SENTINEL_PASSWORD}
sentinel sentinel-pass {SENTINEL_PASSWORD}
{watched}",
            server.port.number()
        ))?;
        Ok(server)
    }

    fn new(room: &Room, name: &str, sentinel: bool) -> Result<Self> {
        Ok(Self {
            folder: room.subfolder(name)?,
            log: room.folder().join(format!("{name}.log")),
            room: room.clone(),
            name: name.to_owned(),
            port: Port::free()?,
            sentinel,
            tls: false,
            daemon: None,
        })
    }

    /// Closes the plain port and opens it with TLS.
    pub(super) fn offer_only_tls(&mut self, root: &str, server: &Issued) -> Result<()> {
        for (file, text) in [
            ("root.pem", root),
            ("server.crt", &server.certificate),
            ("server.key", &server.key),
        ] {
            self.room.write(&format!("{}/{file}", self.name), text)?;
        }
        let mut text = fs::read_to_string(self.folder.join("redis.conf"))?;
        writeln!(
            text,
            "port 0\ntls-port {}\ntls-cert-file server.crt\ntls-key-file server.key\n\
             tls-ca-cert-file root.pem\ntls-auth-clients no",
            self.port.number()
        )?;
        self.tls = true;
        self.configure(&text)
    }

    /// In a folder of its own: servers and sentinels write their configuration anew.
    fn configure(&self, text: &str) -> Result<()> {
        self.room
            .write(&format!("{}/redis.conf", self.name), text)?;
        Ok(())
    }

    /// Its loopback address.
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// `redis://` or `rediss://`, with the password.
    pub fn url(&self) -> String {
        let scheme = if self.tls { "rediss" } else { "redis" };
        format!("{scheme}://:{}@{}", self.password(), self.address())
    }

    /// Whether it was started and not killed.
    pub fn runs(&self) -> bool {
        self.daemon.is_some()
    }

    /// Asks it something; the answer as redis-cli prints it, an element a line. An error of Redis
    /// is an error. An answer is waited for 10 seconds.
    pub async fn command(&self, words: &[&str]) -> Result<String> {
        let mut cli = self.room.command("redis-cli", &self.folder);
        cli.env("REDISCLI_AUTH", self.password())
            .args(["--no-auth-warning", "-e", "-h", "127.0.0.1", "-p"])
            .arg(self.port.number().to_string());
        if self.tls {
            cli.args(["--tls", "--cacert", "root.pem"]);
        }
        cli.args(words);
        let answer = output(cli, ANSWER).await?;
        Ok(answer.replace('\r', ""))
    }

    /// Starts it and waits until it answers, its data loaded.
    pub async fn start(&mut self) -> Result<()> {
        ensure!(self.daemon.is_none(), "{} runs", self.name);
        let mut redis = self.room.command(program(), &self.folder);
        redis.arg("redis.conf");
        if self.sentinel {
            redis.arg("--sentinel");
        }
        self.daemon = Some(Daemon::start(&self.name, redis, &self.log)?);
        let patience = Patience::new(&self.name, LIMIT);
        while let Err(why) = self.command(&["ping"]).await {
            self.daemon()?.check()?;
            if let Err(late) = patience.not_yet(why).await {
                return Err(late.context(self.daemon()?.tail()));
            }
        }
        Ok(())
    }

    /// kill -9.
    pub fn kill9(&mut self) -> Result<()> {
        self.daemon()?.kill9()?;
        self.daemon = None;
        Ok(())
    }

    /// kill -9, then a start without any of its data.
    pub async fn restart_empty(&mut self) -> Result<()> {
        self.kill9()?;
        let files = self.folder.join("appendonlydir");
        if files.exists() {
            fs::remove_dir_all(files)?;
        }
        self.start().await
    }

    /// SIGSTOP: it hangs, connections stay open.
    pub fn freeze(&mut self) -> Result<()> {
        self.daemon()?.freeze()
    }

    /// SIGCONT.
    pub fn thaw(&mut self) -> Result<()> {
        self.daemon()?.thaw()
    }

    /// A field of `INFO`.
    pub async fn info(&self, section: &str, field: &str) -> Result<String> {
        let answer = self.command(&["info", section]).await?;
        let value = answer
            .lines()
            .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        Ok(value
            .with_context(|| format!("no {field} in {section}"))?
            .to_owned())
    }

    /// Where it logs to.
    pub(super) fn log(&self) -> &Path {
        &self.log
    }

    fn password(&self) -> &'static str {
        if self.sentinel {
            SENTINEL_PASSWORD
        } else {
            PASSWORD
        }
    }

    fn daemon(&mut self) -> Result<&mut Daemon> {
        self.daemon
            .as_mut()
            .with_context(|| format!("{} does not run", self.name))
    }
}
