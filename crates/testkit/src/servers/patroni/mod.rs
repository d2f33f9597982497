//! A PostgreSQL cluster that Patroni manages: etcd, nodes, HAProxy.

mod config;
mod failover;
mod options;
mod remedies;
mod verbs;

use std::{path::Path, time::Duration};

use anyhow::{Context, Result, ensure};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
};

use super::{
    daemon::Daemon,
    node::{self, Node},
    ports::Port,
    sandbox::{Room, Sandbox},
    template::template,
    wait::{ANSWER, LIMIT, Patience, eventually, output, tails},
};
use crate::http::Http;

pub use failover::Failover;
pub use options::Options;

/// How long a node may take to answer Patroni's REST question.
const REST: Duration = Duration::from_secs(2);

/// etcd, Patroni nodes with PostgreSQL, and HAProxy before them. Nodes are numbered from 0; at the
/// start node 0 leads.
///
/// A dead leader is replaced after about [`Patroni::FAILOVER`]; give tests three times that.
#[derive(Debug)]
pub struct Patroni {
    sandbox: Sandbox,
    nodes: Vec<Managed>,
    etcd: Daemon,
    haproxy: Daemon,
    leader: Port,
    replicas: Port,
    _etcd_ports: [Port; 2],
    synchronous: bool,
}

/// A node: Patroni, and the PostgreSQL that it starts, which is not its child.
#[derive(Debug)]
struct Managed {
    server: Node,
    rest: Port,
    patroni: Option<Daemon>,
}

/// The ports of everything.
#[derive(Debug)]
struct Addresses {
    leader: u16,
    replicas: u16,
    etcd: u16,
    postgres: Vec<u16>,
    rest: Vec<u16>,
}

impl Managed {
    fn prepare(room: &Room, name: &str) -> Result<Self> {
        room.subfolder(name)?;
        let data = room.copy(&template()?, &format!("{name}/data"))?;
        let file = format!("{name}/data/postgresql.conf");
        let conf = std::fs::read_to_string(room.folder().join(&file))?;
        let include = format!("{conf}\ninclude_if_exists '{}'\n", config::INCLUDED);
        room.write(&file, &include)?;
        Ok(Self {
            server: Node::new(room, data)?,
            rest: Port::free()?,
            patroni: None,
        })
    }

    fn start(&mut self, room: &Room, name: &str) -> Result<()> {
        let folder = room.folder().join(name);
        let mut patroni = room.command("patroni", &folder);
        patroni.arg("patroni.yml");
        self.patroni = Some(Daemon::start(name, patroni, self.server.log())?);
        Ok(())
    }

    /// Whether Patroni says that the node is this: `primary`, `replica`, `synchronous`.
    async fn is(&self, role: &str) -> bool {
        let http = Http::new(self.rest.address());
        let path = format!("/{role}");
        let answer = tokio::time::timeout(REST, http.get(&path, None)).await;
        answer.is_ok_and(|reply| reply.is_ok_and(|reply| reply.status == 200))
    }
}

impl Patroni {
    /// About how long a dead leader leads on: the time to live of its key.
    pub const FAILOVER: Duration = Duration::from_secs(config::TTL_SECONDS as u64);

    /// Three nodes with the default options.
    pub async fn start() -> Result<Self> {
        Options::new().start().await
    }

    /// The URL of a database behind HAProxy's port for the leader.
    pub fn url(&self, database: &str) -> String {
        node::url(self.leader.number(), database)
    }

    /// The URL of a database behind HAProxy's port for the replicas. HAProxy does not see how far a
    /// replica is behind in showing what it has received.
    pub fn replicas_url(&self, database: &str) -> String {
        node::url(self.replicas.number(), database)
    }

    /// The URL of a database that names every node, past HAProxy.
    pub fn nodes_url(&self, database: &str) -> String {
        let ports = self.nodes.iter().map(|node| node.server.port());
        node::url_of(ports, database)
    }

    /// How many nodes there are, the dead too.
    pub fn nodes(&self) -> usize {
        self.nodes.len()
    }

    /// A node's PostgreSQL, to ask it over its socket or to reach it past HAProxy.
    pub fn server(&self, node: usize) -> &Node {
        &self.nodes[node].server
    }

    /// The node that Patroni says leads.
    pub async fn leader(&self) -> Result<usize> {
        for (number, node) in self.nodes.iter().enumerate() {
            if node.patroni.is_some() && node.is("primary").await {
                return Ok(number);
            }
        }
        anyhow::bail!("nobody leads")
    }

    /// The nodes that Patroni says are replicas.
    pub async fn replicas(&self) -> Vec<usize> {
        let mut found = Vec::new();
        for (number, node) in self.nodes.iter().enumerate() {
            if node.patroni.is_some() && node.is("replica").await {
                found.push(number);
            }
        }
        found
    }

    /// Waits until another node than `before` leads, and HAProxy knows.
    pub async fn leader_after(&self, before: usize) -> Result<usize> {
        let waited = eventually("another leader", LIMIT, || async {
            let leader = self.leader().await?;
            ensure!(leader != before, "{} leads", config::name(leader));
            self.leads(leader).await?;
            Ok(leader)
        });
        waited.await.with_context(|| self.tails())
    }

    async fn is_whole(&self) -> Result<()> {
        let running = self.nodes.iter().filter(|node| node.patroni.is_some());
        let replicas = running.count().saturating_sub(1);
        let leader = self.leader().await?;
        let streaming = self.server(leader).streaming().await?;
        ensure!(streaming == replicas, "{streaming} replicas are streaming");
        let up = self.up().await?;
        ensure!(
            up == (1, replicas),
            "HAProxy has {up:?} leaders and replicas"
        );
        self.leads(leader).await?;
        ensure!(
            !self.synchronous || self.has_heir(leader).await?,
            "nobody may be promoted"
        );
        Ok(())
    }

    /// Fails unless HAProxy leads to the node and its PostgreSQL is a primary.
    async fn leads(&self, node: usize) -> Result<()> {
        let (name, server) = (config::name(node), self.server(node));
        let port = self.behind(&self.url("postgres")).await?;
        ensure!(
            port == server.port(),
            "HAProxy leads to another than {name}"
        );
        // Patroni says primary from the moment at which it asks for the promotion: of a leader too,
        // whose PostgreSQL it starts again as a standby from which the others stream already.
        ensure!(
            !server.is_standby().await?,
            "the promotion of {name} goes on"
        );
        Ok(())
    }

    /// Whether a standby is synchronous, as the leader and etcd see it: else nobody is promoted if
    /// the leader dies now.
    async fn has_heir(&self, leader: usize) -> Result<bool> {
        let waited_for = "select count(*) from pg_stat_replication where sync_state = 'sync'";
        if self.server(leader).execute(waited_for).await? == "0" {
            return Ok(false);
        }
        for node in self.nodes.iter().filter(|node| node.patroni.is_some()) {
            if node.is("synchronous").await {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// How many leaders and replicas are up, as HAProxy sees it.
    async fn up(&self) -> Result<(usize, usize)> {
        let socket = self.sandbox.room().folder().join("haproxy.sock");
        let mut stream = UnixStream::connect(socket).await?;
        stream.write_all(b"show stat\n").await?;
        let mut table = String::new();
        stream.read_to_string(&mut table).await?;
        let up = |listener: &str| {
            let servers = table.lines().filter(|line| {
                let fields: Vec<&str> = line.split(',').collect();
                fields[0] == listener
                    && fields.get(1).is_some_and(|name| name.starts_with("pg"))
                    && fields
                        .get(17)
                        .is_some_and(|status| status.starts_with("UP"))
            });
            servers.count()
        };
        Ok((up("leader"), up("replicas")))
    }

    /// The port of the server that a URL leads to.
    async fn behind(&self, url: &str) -> Result<u16> {
        let mut psql = self.nodes[0].server.program("psql");
        psql.args([
            "-X",
            "-q",
            "-A",
            "-t",
            "-c",
            "select inet_server_port()",
            "-d",
            url,
        ])
        .env("PGCONNECT_TIMEOUT", "2");
        Ok(output(psql, ANSWER).await?.parse()?)
    }

    /// The logs of everything: a node's has what Patroni says and what PostgreSQL does.
    pub fn logs(&self) -> impl Iterator<Item = &Path> {
        let nodes = self.nodes.iter().map(|node| node.server.log());
        nodes.chain([self.etcd.log(), self.haproxy.log()])
    }

    fn tails(&self) -> String {
        tails(self.logs())
    }
}

fn start_etcd(room: &Room, ports: &[Port; 2]) -> Result<Daemon> {
    let folder = room.subfolder("etcd")?;
    let [client, peer] = ports
        .each_ref()
        .map(|port| format!("http://{}", port.address()));
    let mut etcd = room.command("etcd", &folder);
    etcd.args(["--name", "tests", "--data-dir", "data"])
        .args(["--log-level", "warn", "--logger", "zap"])
        .args(["--listen-client-urls", &client])
        .args(["--advertise-client-urls", &client])
        .args(["--listen-peer-urls", &peer])
        .args(["--initial-advertise-peer-urls", &peer])
        .args(["--initial-cluster", &format!("tests={peer}")])
        // A lone member elects itself after the timeout of the election. etcd makes leases that are
        // shorter than one and a half of it longer.
        .args(["--heartbeat-interval", "50", "--election-timeout", "500"]);
    Daemon::start("etcd", etcd, &room.folder().join("etcd.log"))
}

async fn etcd_is_up(etcd: &mut Daemon, client: &Port) -> Result<()> {
    let patience = Patience::new("etcd", LIMIT);
    loop {
        etcd.check()?;
        let http = Http::new(client.address());
        let health = tokio::time::timeout(REST, http.get("/health", None)).await;
        if health.is_ok_and(|reply| reply.is_ok_and(|reply| reply.status == 200)) {
            return Ok(());
        }
        let why = anyhow::anyhow!("it is not healthy{}", etcd.tail());
        patience.not_yet(why).await?;
    }
}

/// Whether somebody holds the key of the leader: the others then follow instead of competing.
async fn has_leader(room: &Room, client: &Port) -> Result<()> {
    eventually("the key of the leader", LIMIT, || async {
        let mut etcdctl = room.command("etcdctl", room.folder());
        etcdctl
            .env("ETCDCTL_API", "3")
            .args(["--endpoints", &format!("http://{}", client.address())])
            .args(["get", "/tests/sso/leader", "--print-value-only"]);
        ensure!(!output(etcdctl, ANSWER).await?.is_empty(), "nobody has it");
        Ok(())
    })
    .await
}

fn start_haproxy(room: &Room) -> Result<Daemon> {
    let mut haproxy = room.command(Path::new("haproxy"), room.folder());
    haproxy.args(["-db", "-f", "haproxy.cfg"]);
    Daemon::start("HAProxy", haproxy, &room.folder().join("haproxy.log"))
}
