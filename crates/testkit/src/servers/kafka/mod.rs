//! A real Apache Kafka (KRaft): one broker or three, and what can happen to them.

pub(super) mod client;
mod jars;
mod properties;

use std::{
    fs::{self, File},
    path::PathBuf,
    process::{Child, Command, ExitStatus},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use time::OffsetDateTime;
use tokio::task::spawn_blocking;

use self::{jars::Jars, properties::Node};
use crate::{
    pki::{Authority, Wanted},
    process::free_port,
};

pub use self::client::Record;

/// How often ports that somebody else took meanwhile are replaced by others.
const STARTS: usize = 3;
/// How long a broker may take to end when it is asked to.
const END: Duration = Duration::from_secs(30);

/// A cluster. Its brokers end with it, on panic too.
#[derive(Debug)]
pub struct Kafka {
    jars: Jars,
    nodes: Vec<Node>,
    brokers: Vec<Option<Broker>>,
    folder: TempDir,
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

    /// One broker with a second listener: TLS of an authority of its own, and SASL.
    pub async fn start_secure() -> Result<Self> {
        Self::run(Plan {
            nodes: 1,
            secure: true,
        })
        .await
    }

    async fn run(plan: Plan) -> Result<Self> {
        spawn_blocking(move || {
            let jars = Jars::find()?;
            let mut start = Self::launch(&jars, plan);
            for _ in 1..STARTS {
                if start.is_ok() {
                    break;
                }
                start = Self::launch(&jars, plan);
            }
            start
        })
        .await?
    }

    fn launch(jars: &Jars, plan: Plan) -> Result<Self> {
        let folder = TempDir::with_prefix("sso-kafka-")?;
        let pem = folder.path().join("broker.pem");
        if plan.secure {
            let authority = Authority::new()?;
            #[expect(
                clippy::disallowed_methods,
                reason = "the broker goes by the machine's clock"
            )]
            let now = OffsetDateTime::now_utc();
            let issued = authority.issue(&Wanted::of(&["127.0.0.1"], now))?;
            fs::write(&pem, format!("{}{}", issued.key, issued.certificate))?;
            fs::write(folder.path().join("ca.pem"), authority.root())?;
        }
        let mut ports = Vec::new();
        for _ in 0..plan.nodes {
            ports.push([free_port()?, free_port()?, free_port()?]);
        }
        let pem = plan.secure.then_some(pem.as_path());
        let nodes = Node::cluster(folder.path(), &ports, pem);
        let mut cluster = Self {
            jars: jars.clone(),
            brokers: nodes.iter().map(|_| None).collect(),
            nodes,
            folder,
        };
        for node in &cluster.nodes {
            jars.format(&node.folder, node.id)?;
            fs::write(cluster.settings(node.id), node.properties())?;
        }
        for id in cluster.ids() {
            cluster.spawn(id)?;
        }
        cluster.await_brokers().with_context(|| cluster.log())?;
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
        let (port, _) = self.nodes[0].secure.as_ref().context("it is not secure")?;
        Ok(format!("127.0.0.1:{port}"))
    }

    /// The root (PEM) of the secure listener's certificate.
    pub fn authority(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
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
        let (brokers, topic, count) = (self.brokers(), topic.to_owned(), self.nodes.len());
        spawn_blocking(move || client::await_in_sync(&brokers, &topic, count)).await?
    }

    /// kill -9 of a broker.
    pub fn kill9(&mut self, id: u32) -> Result<()> {
        // Dropping kills.
        self.slot(id)?.take().context("it does not run")?;
        Ok(())
    }

    /// kill -9 of all.
    pub fn kill_all(&mut self) {
        for broker in &mut self.brokers {
            broker.take();
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
        spawn_blocking(move || client::await_brokers(&brokers, count)).await?
    }

    /// kill -9 of all, and a start of all.
    pub async fn restart_all(&mut self) -> Result<()> {
        self.kill_all();
        self.start_all().await
    }

    /// A broker that hangs: its connections stay open, nobody answers.
    pub fn freeze(&self, id: u32) -> Result<()> {
        self.signal(id, Signal::STOP)
    }

    /// The end of [`Self::freeze`].
    pub fn thaw(&self, id: u32) -> Result<()> {
        self.signal(id, Signal::CONT)
    }

    /// Lets a user of the secure listener write to all topics.
    pub async fn allow_writes(&self, user: &str) -> Result<()> {
        let mut command = self.jars.command("org.apache.kafka.tools.AclCommand");
        command.args(["--bootstrap-server", &self.brokers(), "--add"]);
        command.args(["--allow-principal", &format!("User:{user}")]);
        command.args(["--operation", "Write", "--operation", "Describe"]);
        command.args(["--topic", "*"]);
        let done = spawn_blocking(move || command.output()).await??;
        ensure!(
            done.status.success(),
            "{}",
            String::from_utf8_lossy(&done.stderr)
        );
        Ok(())
    }

    /// What the brokers have logged.
    pub fn log(&self) -> String {
        let read = |id: u32| fs::read_to_string(self.log_file(id)).unwrap_or_default();
        self.ids().into_iter().map(read).collect()
    }

    fn signal(&self, id: u32, signal: Signal) -> Result<()> {
        let broker = self
            .brokers
            .get(id as usize - 1)
            .context("no such broker")?;
        broker.as_ref().context("it does not run")?.signal(signal)
    }

    fn slot(&mut self, id: u32) -> Result<&mut Option<Broker>> {
        let at = (id as usize).checked_sub(1);
        at.and_then(|at| self.brokers.get_mut(at))
            .context("no such broker")
    }

    fn spawn(&mut self, id: u32) -> Result<()> {
        let mut command = self.jars.broker(&self.settings(id));
        command.env("KAFKA_HEAP_OPTS", "");
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log_file(id))?;
        *self.slot(id)? = Some(Broker::spawn(command, log)?);
        Ok(())
    }

    /// Fails at once if one ends instead.
    fn await_brokers(&mut self) -> Result<()> {
        let (brokers, count) = (self.brokers(), self.nodes.len());
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| client::await_brokers(&brokers, count));
            while !waiting.is_finished() {
                for broker in self.brokers.iter_mut().flatten() {
                    if let Some(status) = broker.ended()? {
                        bail!("a broker ended with {status}");
                    }
                }
                #[expect(clippy::disallowed_methods, reason = "a thread of its own polls here")]
                std::thread::sleep(Duration::from_millis(20));
            }
            waiting
                .join()
                .unwrap_or_else(|_| bail!("the wait panicked"))
        })
    }

    fn settings(&self, id: u32) -> PathBuf {
        self.folder.path().join(format!("node{id}.properties"))
    }

    fn log_file(&self, id: u32) -> PathBuf {
        self.folder.path().join(format!("node{id}.log"))
    }
}

/// A process; killed when dropped.
#[derive(Debug)]
struct Broker(Child);

impl Broker {
    fn spawn(mut command: Command, log: File) -> Result<Self> {
        let child = command.stdout(log.try_clone()?).stderr(log).spawn();
        Ok(Self(child.context("cannot start java")?))
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        Ok(kill_process(Pid::from_child(&self.0), signal)?)
    }

    fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.0.try_wait()?)
    }

    /// Asks it to end, and waits.
    fn terminate(&mut self) -> Result<()> {
        self.signal(Signal::TERM)?;
        let started = Instant::now();
        while self.ended()?.is_none() {
            ensure!(started.elapsed() < END, "the broker does not end");
            #[expect(clippy::disallowed_methods, reason = "a thread of its own polls here")]
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
