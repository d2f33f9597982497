//! Three Redis servers that three sentinels look after.

use std::{fmt::Write as _, net::SocketAddr, time::Duration};

use anyhow::{Context, Result, ensure};

use super::{PASSWORD, server::RedisServer};
use crate::servers::{
    ports::with_fresh_ports,
    sandbox::Sandbox,
    wait::{LIMIT, eventually, tails},
};

/// How long a master may be silent. Production has some 10 times that.
const DOWN_AFTER_MILLISECONDS: &str = "1000";

/// Longer than any test: Sentinel does not act.
const NEVER_DOWN_MILLISECONDS: &str = "3600000";

/// Sentinel gives up a failover whose replica is slow, after `failover-timeout` in each state.
const GIVEN_UP: Duration = Duration::from_secs(12);

/// How often a failover that was given up is asked for again.
const ATTEMPTS: usize = 3;

/// A master, two replicas and three sentinels, with passwords. Servers and sentinels are numbered
/// from 0; at the start server 0 is the master.
///
/// Another becomes the master 2 to 3 s after a master's death.
#[derive(Debug)]
pub struct RedisSentinel {
    _sandbox: Sandbox,
    /// The servers and their verbs.
    pub servers: Vec<RedisServer>,
    /// The sentinels and their verbs.
    pub sentinels: Vec<RedisServer>,
}

/// How the servers are set up.
#[derive(Debug, Clone, Default)]
pub struct Options {
    min_replicas: u8,
}

impl Options {
    /// A master takes writes without any replica, as Redis does by default.
    pub fn new() -> Self {
        Self::default()
    }

    /// `min-replicas-to-write`: a master with fewer fresh replicas refuses writes (NOREPLICAS).
    #[must_use]
    pub fn min_replicas(mut self, count: u8) -> Self {
        self.min_replicas = count;
        self
    }

    /// Starts all six and waits until they know each other.
    pub async fn start(&self) -> Result<RedisSentinel> {
        with_fresh_ports(|| self.attempt()).await
    }

    async fn attempt(&self) -> Result<RedisSentinel> {
        let sandbox = Sandbox::new()?;
        let room = sandbox.room();
        let mut servers: Vec<RedisServer> = Vec::new();
        for number in 0..3 {
            let mut more = format!(
                "min-replicas-to-write {}\nmin-replicas-max-lag 2\n",
                self.min_replicas
            );
            if let Some(master) = servers.first() {
                writeln!(more, "replicaof 127.0.0.1 {}", master.address().port())?;
            }
            let name = format!("r{number}");
            let mut server = RedisServer::prepare(room, &name, &more)?;
            server.start().await?;
            servers.push(server);
        }
        let mut sentinels = Vec::new();
        let watched = watched(servers[0].address());
        for number in 0..3 {
            let name = format!("s{number}");
            let mut sentinel = RedisServer::prepare_sentinel(room, &name, &watched)?;
            sentinel.start().await?;
            sentinels.push(sentinel);
        }
        let cluster = RedisSentinel {
            _sandbox: sandbox,
            servers,
            sentinels,
        };
        cluster.ready().await?;
        Ok(cluster)
    }
}

impl RedisSentinel {
    /// The name that the sentinels know the master by.
    pub const MASTER_NAME: &str = "sso";

    /// With the default options.
    pub async fn start() -> Result<Self> {
        Options::new().start().await
    }

    /// Where the sentinels listen.
    pub fn sentinel_addresses(&self) -> Vec<SocketAddr> {
        self.sentinels.iter().map(RedisServer::address).collect()
    }

    /// The number of the master, as the first sentinel that runs and is not frozen says.
    pub async fn master(&self) -> Result<usize> {
        let sentinel = self.sentinel()?;
        let asked = ["sentinel", "get-master-addr-by-name", Self::MASTER_NAME];
        let answer = sentinel.command(&asked).await?;
        let port: u16 = answer.lines().nth(1).context("no master")?.parse()?;
        let found = self
            .servers
            .iter()
            .position(|server| server.address().port() == port);
        found.context("the master is none of ours")
    }

    /// Waits until the sentinels name another master than `before`, and it takes writes.
    pub async fn master_after(&self, before: usize) -> Result<usize> {
        let waited = eventually("another master", LIMIT, || async {
            let master = self.master().await?;
            ensure!(master != before, "r{master} is the master");
            let role = self.servers[master].info("replication", "role").await?;
            ensure!(role == "master", "r{master} is a {role} still");
            Ok(master)
        });
        waited.await.with_context(|| self.tails())
    }

    /// Waits until every server that runs follows one master, all of its data copied, and every
    /// sentinel that runs knows all of them and has heard it from them. None may be frozen.
    ///
    /// Takes up to 10 s after a server came back: a sentinel asks that seldom, and one that still
    /// believes in two masters turns the next one that is promoted into a replica again.
    pub async fn ready(&self) -> Result<()> {
        let waited = eventually("the replication", LIMIT, || self.check());
        waited.await.with_context(|| self.tails())
    }

    async fn check(&self) -> Result<()> {
        let master = self.master().await?;
        let port = self.servers[master].address().port().to_string();
        for (number, server) in self.servers.iter().enumerate() {
            if number == master || !server.runs() {
                continue;
            }
            ensure!(
                server.info("replication", "role").await? == "slave"
                    && server.info("replication", "master_port").await? == port
                    && server.info("replication", "master_link_status").await? == "up",
                "r{number} does not follow r{master}"
            );
        }
        for sentinel in self.sentinels.iter().filter(|sentinel| sentinel.runs()) {
            let state = sentinel.info("sentinel", "master0").await?;
            ensure!(
                state.contains("status=ok")
                    && state.contains(&format!("address=127.0.0.1:{port}"))
                    && state.contains("slaves=2,sentinels=3"),
                "a sentinel says {state}"
            );
            let asked = ["sentinel", "replicas", Self::MASTER_NAME];
            let heard = fields(&sentinel.command(&asked).await?, "role-reported");
            let running = self.servers.iter().filter(|server| server.runs()).count();
            let replicas = heard.iter().filter(|role| *role == "slave").count();
            ensure!(replicas + 1 >= running, "a sentinel heard of {heard:?}");
        }
        Ok(())
    }

    /// Asks a sentinel to make a replica the master, and waits for it; the new master. Clients that
    /// keep their connection to the old one lose most of what it acknowledges meanwhile.
    pub async fn failover(&self) -> Result<usize> {
        let before = self.master().await?;
        let sentinel = self.sentinel()?;
        let asked = ["sentinel", "failover", Self::MASTER_NAME];
        for _ in 0..ATTEMPTS {
            // Refused for as long as the sentinel has not heard from the replicas.
            eventually("the failover", LIMIT, || sentinel.command(&asked)).await?;
            let changed = eventually("another master", GIVEN_UP, || async {
                let master = self.master().await?;
                ensure!(master != before, "r{master} is the master");
                Ok(())
            });
            if changed.await.is_ok() {
                break;
            }
        }
        self.master_after(before).await
    }

    /// The replicas lose the master and cannot come back: what it acknowledges from now on is lost
    /// when it dies. Freezing the replicas would lose nothing: the kernel has the data.
    pub async fn cut_replication(&self) -> Result<()> {
        let master = self.master().await?;
        for (number, server) in self.servers.iter().enumerate() {
            if number != master && server.runs() {
                let wrong = ["config", "set", "masterauth", "wrong"];
                server.command(&wrong).await?;
                server
                    .command(&["client", "kill", "type", "master"])
                    .await?;
            }
        }
        eventually("the cut", LIMIT, || async {
            let left = self.servers[master]
                .info("replication", "connected_slaves")
                .await?;
            ensure!(left == "0", "{left} replicas are connected");
            Ok(())
        })
        .await
    }

    /// Undoes [`Self::cut_replication`] on every server that runs, also in what Sentinel has made
    /// the promoted one write into its file.
    pub async fn mend_replication(&self) -> Result<()> {
        for server in self.servers.iter().filter(|server| server.runs()) {
            let right = ["config", "set", "masterauth", PASSWORD];
            server.command(&right).await?;
            server.command(&["config", "rewrite"]).await?;
        }
        Ok(())
    }

    /// FLUSHALL on the master: all data is gone on all three.
    pub async fn flushall(&self) -> Result<()> {
        let master = self.master().await?;
        self.servers[master].command(&["flushall"]).await?;
        Ok(())
    }

    /// The master dies and comes back without its data before Sentinel acts; the replicas copy the
    /// emptiness. Waits until they have.
    pub async fn restart_master_empty(&mut self) -> Result<()> {
        let master = self.master().await?;
        self.down_after(NEVER_DOWN_MILLISECONDS).await?;
        self.servers[master].restart_empty().await?;
        self.ready().await?;
        self.down_after(DOWN_AFTER_MILLISECONDS).await
    }

    async fn down_after(&self, milliseconds: &str) -> Result<()> {
        for sentinel in self.sentinels.iter().filter(|sentinel| sentinel.runs()) {
            let set = ["sentinel", "set", Self::MASTER_NAME];
            let value = ["down-after-milliseconds", milliseconds];
            sentinel.command(&[&set[..], &value].concat()).await?;
        }
        Ok(())
    }

    fn sentinel(&self) -> Result<&RedisServer> {
        let running = self.sentinels.iter().find(|sentinel| sentinel.runs());
        running.context("no sentinel runs")
    }

    fn tails(&self) -> String {
        let all = self.servers.iter().chain(&self.sentinels);
        tails(all.map(RedisServer::log))
    }
}

/// The values of a field in an answer of names and values, each on its own line.
fn fields(answer: &str, name: &str) -> Vec<String> {
    let pairs = answer.lines().zip(answer.lines().skip(1));
    pairs
        .filter(|(line, _)| *line == name)
        .map(|(_, value)| value.to_owned())
        .collect()
}

fn watched(master: SocketAddr) -> String {
    let name = RedisSentinel::MASTER_NAME;
    format!(
        "sentinel monitor {name} 127.0.0.1 {} 2
sentinel auth-pass {name} {PASSWORD}
sentinel down-after-milliseconds {name} {DOWN_AFTER_MILLISECONDS}
sentinel failover-timeout {name} 5000
sentinel parallel-syncs {name} 2
",
        master.port()
    )
}
