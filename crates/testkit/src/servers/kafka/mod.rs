//! A real Apache Kafka (KRaft): one broker or three, and what can happen to them.

pub(super) mod client;
mod jars;
mod properties;

use std::{
    ffi::OsString,
    fs,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use rustix::process::{getegid, geteuid};
use time::OffsetDateTime;
use tokio::task::spawn_blocking;

use self::{
    jars::Jars,
    properties::{Node, USERS},
};
use super::{Daemon, Port, Room, Sandbox, ports::with_fresh_ports, wait};
use crate::pki::{Authority, Wanted};

pub use self::client::Record;

/// How long brokers may take for anything, on a busy machine.
const PATIENCE: Duration = Duration::from_mins(2);

/// A cluster. Its brokers end with it, however the test ends.
#[derive(Debug)]
pub struct Kafka {
    jars: Jars,
    nodes: Vec<Node>,
    daemons: Vec<Option<Daemon>>,
    sandbox: Sandbox,
    _ports: Vec<[Port; 4]>,
}

/// What is started.
#[derive(Debug, Clone, Copy)]
struct Plan {
    nodes: usize,
    secure: bool,
}

impl Kafka {
    /// One broker.
    pub async fn start() -> Result<Self> {
        Self::run(Plan {
            nodes: 1,
            secure: false,
        })
        .await
    }

    /// Three brokers, each record on all of them, acknowledged by two.
    pub async fn start_three() -> Result<Self> {
        Self::run(Plan {
            nodes: 3,
            secure: false,
        })
        .await
    }

    /// One broker with two more listeners, both with TLS of an authority of its own: one with SASL, one for
    /// whoever shows a certificate.
    pub async fn start_secure() -> Result<Self> {
        Self::run(Plan {
            nodes: 1,
            secure: true,
        })
        .await
    }

    async fn run(plan: Plan) -> Result<Self> {
        let jars = Jars::find().await?;
        with_fresh_ports(|| Self::launch(&jars, plan)).await
    }

    async fn launch(jars: &Jars, plan: Plan) -> Result<Self> {
        let sandbox = Sandbox::new()?;
        let folder = sandbox.room().folder().to_owned();
        if plan.secure {
            certify(&folder)?;
        }
        let mut ports = Vec::new();
        for _ in 0..plan.nodes {
            ports.push([Port::free()?, Port::free()?, Port::free()?, Port::free()?]);
        }
        let numbers: Vec<_> = ports
            .iter()
            .map(|ports| ports.each_ref().map(Port::number))
            .collect();
        let nodes = Node::cluster(&folder, &numbers, plan.secure);
        let mut cluster = Self {
            jars: jars.clone(),
            daemons: nodes.iter().map(|_| None).collect(),
            nodes,
            sandbox,
            _ports: ports,
        };
        for node in &cluster.nodes {
            jars.format(&node.folder, node.id)?;
            fs::write(cluster.settings(node.id), node.properties())?;
        }
        cluster.start_all().await?;
        Ok(cluster)
    }

    /// `127.0.0.1:port` of all brokers, comma-separated, in clear.
    pub fn brokers(&self) -> String {
        let address = |node: &Node| format!("127.0.0.1:{}", node.port);
        self.nodes.iter().map(address).collect::<Vec<_>>().join(",")
    }

    /// The listener with TLS and SASL (PLAIN, SCRAM, OAUTHBEARER). `alice` may do everything there,
    /// `mallory` nothing; their passwords are `alice-secret` and `mallory-secret`.
    pub fn secure_brokers(&self) -> Result<String> {
        let secure = self.nodes[0].secure.as_ref().context("it is not secure")?;
        Ok(format!("127.0.0.1:{}", secure.port))
    }

    /// The listener with TLS for whoever shows a [certificate](Self::identity).
    pub fn certified_brokers(&self) -> Result<String> {
        let secure = self.nodes[0].secure.as_ref().context("it is not secure")?;
        Ok(format!("127.0.0.1:{}", secure.certified))
    }

    /// The certificate (PEM) of a user of the listeners with TLS, and its key.
    pub fn identity(&self, user: &str) -> (PathBuf, PathBuf) {
        let folder = self.sandbox.room().folder();
        let file = |ending| folder.join(format!("{user}.{ending}"));
        (file("crt"), file("key"))
    }

    /// The root (PEM) of the secure listener's certificate.
    pub fn authority(&self) -> PathBuf {
        self.sandbox.room().folder().join("ca.pem")
    }

    /// The ids of all brokers, from 1.
    pub fn ids(&self) -> Vec<u32> {
        self.nodes.iter().map(|node| node.id).collect()
    }

    /// Makes a topic, replicated to all brokers, and waits until it can be written to.
    pub async fn create_topic(&self, name: &str, partitions: i32) -> Result<()> {
        self.create_topic_with(name, partitions, &[]).await
    }

    /// As [`Self::create_topic`], with settings of the topic.
    pub async fn create_topic_with(
        &self,
        name: &str,
        partitions: i32,
        settings: &[(&str, &str)],
    ) -> Result<()> {
        let replicas = i32::try_from(self.nodes.len())?;
        client::create_topic(&self.brokers(), name, partitions, replicas, settings).await
    }

    /// Deletes a topic.
    pub async fn delete_topic(&self, name: &str) -> Result<()> {
        client::delete_topic(&self.brokers(), name).await
    }

    /// All records that are in a topic now, partition after partition.
    pub async fn consume_all(&self, topic: &str) -> Result<Vec<Record>> {
        let (brokers, topic) = (self.brokers(), topic.to_owned());
        spawn_blocking(move || client::consume_all(&brokers, &topic)).await?
    }

    /// Writes a record; an empty key is none.
    pub async fn produce(
        &self,
        topic: &str,
        key: &[u8],
        value: &[u8],
        headers: &[(&str, &str)],
    ) -> Result<()> {
        let (brokers, topic) = (self.brokers(), topic.to_owned());
        let (key, value) = (key.to_vec(), value.to_vec());
        let headers: Vec<_> = headers
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        spawn_blocking(move || {
            let headers: Vec<_> = headers.iter().map(|(k, v)| (&**k, &**v)).collect();
            client::produce_blocking(&brokers, &topic, &key, &value, &headers)
        })
        .await?
    }

    /// The broker that leads this partition.
    pub async fn leader(&self, topic: &str, partition: usize) -> Result<u32> {
        let (brokers, topic) = (self.brokers(), topic.to_owned());
        let found = spawn_blocking(move || client::partitions(&brokers, &topic)).await??;
        let partition = found.get(partition).context("no such partition")?;
        Ok(u32::try_from(partition.leader)?)
    }

    /// Waits until all brokers have all records of this topic.
    pub async fn in_sync(&self, topic: &str) -> Result<()> {
        client::await_in_sync(&self.brokers(), topic, self.nodes.len()).await
    }

    /// kill -9 of a broker.
    pub fn kill9(&mut self, id: u32) -> Result<()> {
        let mut daemon = self.slot(id)?.take().context("it does not run")?;
        daemon.kill9()
    }

    /// kill -9 of all.
    pub fn kill_all(&mut self) {
        for daemon in &mut self.daemons {
            // Dropping kills.
            daemon.take();
        }
    }

    /// Starts a broker again on its data; it may take seconds until it serves.
    pub fn start_again(&mut self, id: u32) -> Result<()> {
        ensure!(self.slot(id)?.is_none(), "it runs");
        self.spawn(id)
    }

    /// Starts all that do not run, and waits until all are there.
    pub async fn start_all(&mut self) -> Result<()> {
        for id in self.ids() {
            if self.slot(id)?.is_none() {
                self.spawn(id)?;
            }
        }
        let (brokers, count) = (self.brokers(), self.nodes.len());
        let patience = wait::Patience::new("the brokers", PATIENCE);
        loop {
            let Err(why) = client::listed(&brokers, count).await else {
                return Ok(());
            };
            for daemon in self.daemons.iter_mut().flatten() {
                daemon.check()?;
            }
            patience.not_yet(why).await.with_context(|| self.log())?;
        }
    }

    /// kill -9 of all, and a start of all.
    pub async fn restart_all(&mut self) -> Result<()> {
        self.kill_all();
        self.start_all().await
    }

    /// A broker that hangs: its connections stay open, nobody answers.
    pub fn freeze(&mut self, id: u32) -> Result<()> {
        self.slot(id)?.as_ref().context("it does not run")?.freeze()
    }

    /// The end of [`Self::freeze`].
    pub fn thaw(&mut self, id: u32) -> Result<()> {
        self.slot(id)?.as_ref().context("it does not run")?.thaw()
    }

    /// Lets a user of the secure listener write to all topics.
    pub async fn allow_writes(&self, user: &str) -> Result<()> {
        self.allow(user, "Write", ["--topic", "*"]).await
    }

    /// Lets a user of the secure listener read all topics.
    pub async fn allow_reads(&self, user: &str) -> Result<()> {
        self.allow(user, "Read", ["--topic", "*"]).await
    }

    /// Lets a user of the secure listener be a member of this group.
    pub async fn allow_group(&self, user: &str, group: &str) -> Result<()> {
        self.allow(user, "Read", ["--group", group]).await
    }

    async fn allow(&self, user: &str, operation: &str, of: [&str; 2]) -> Result<()> {
        let mut java = self.jars.java("org.apache.kafka.tools.AclCommand");
        let (brokers, user) = (self.brokers(), format!("User:{user}"));
        let arguments = [
            ["--bootstrap-server", &brokers],
            ["--add", "--force"],
            ["--allow-principal", &user],
            ["--operation", operation],
            ["--operation", "Describe"],
            of,
        ];
        java.extend(arguments.into_iter().flatten().map(OsString::from));
        wait::output(launch(self.sandbox.room(), java), PATIENCE).await?;
        Ok(())
    }

    /// The ends of the brokers' logs.
    pub fn log(&self) -> String {
        let logs: Vec<_> = self.ids().into_iter().map(|id| self.log_file(id)).collect();
        wait::tails(logs.iter().map(PathBuf::as_path))
    }

    fn slot(&mut self, id: u32) -> Result<&mut Option<Daemon>> {
        let at = (id as usize).checked_sub(1);
        at.and_then(|at| self.daemons.get_mut(at))
            .context("no such broker")
    }

    fn spawn(&mut self, id: u32) -> Result<()> {
        let mut java = self.jars.java("kafka.Kafka");
        java.push(self.settings(id).into());
        let log = self.log_file(id);
        let daemon = start(&format!("broker {id}"), self.sandbox.room(), java, &log)?;
        *self.slot(id)? = Some(daemon);
        Ok(())
    }

    fn settings(&self, id: u32) -> PathBuf {
        self.sandbox
            .room()
            .folder()
            .join(format!("node{id}.properties"))
    }

    fn log_file(&self, id: u32) -> PathBuf {
        self.sandbox.room().folder().join(format!("node{id}.log"))
    }
}

fn start(name: &str, room: &Room, java: Vec<OsString>, log: &Path) -> Result<Daemon> {
    Daemon::start(name, launch(room, java), log)
}

/// As ourselves: only we are sure to be able to read the jars.
fn launch(room: &Room, java: Vec<OsString>) -> Command {
    let mut command = room.command("java", room.folder());
    command
        .uid(geteuid().as_raw())
        .gid(getegid().as_raw())
        .args(java);
    command
}

/// An authority in this folder, and what it certifies: the broker, and the users.
fn certify(folder: &Path) -> Result<()> {
    let authority = Authority::new()?;
    #[expect(
        clippy::disallowed_methods,
        reason = "the broker goes by the machine's clock"
    )]
    let now = OffsetDateTime::now_utc();
    let broker = authority.issue(&Wanted::of(&["127.0.0.1"], now))?;
    let pem = format!("{}{}", broker.key, broker.certificate);
    fs::write(folder.join("broker.pem"), pem)?;
    fs::write(folder.join("ca.pem"), authority.root())?;
    for (user, _) in USERS {
        let wanted = Wanted {
            common_name: Some(user),
            ..Wanted::of(&[], now)
        };
        let issued = authority.issue(&wanted)?;
        fs::write(folder.join(format!("{user}.crt")), issued.certificate)?;
        fs::write(folder.join(format!("{user}.key")), issued.key)?;
    }
    Ok(())
}
