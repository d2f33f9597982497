//! A primary and streaming standbys that nobody manages.

use std::{fmt::Write as _, path::Path};

use anyhow::{Context, Result, ensure};

use super::{
    node::Node,
    ports::with_fresh_ports,
    postgres::Options,
    proxy::Proxy,
    sandbox::{Room, Sandbox},
    template::REPLICATOR_PASSWORD,
    wait::{LIMIT, eventually, output},
};

/// A primary and its replicas, in about a second. Each replica follows through a network of its own
/// and holds a slot, so that the primary keeps what it has not seen.
#[derive(Debug)]
pub struct Pair {
    sandbox: Sandbox,
    /// The primary; it is this server also after another was promoted.
    pub primary: Node,
    /// The standbys.
    pub replicas: Vec<Replica>,
}

/// A standby and its network to the primary.
#[derive(Debug)]
pub struct Replica {
    /// The server and its verbs.
    pub node: Node,
    /// Between it and the primary.
    pub link: Proxy,
}

impl Pair {
    /// A primary and one replica with the default options.
    pub async fn start() -> Result<Self> {
        Self::with_replicas(1, &Options::new()).await
    }

    /// A primary and so many replicas, all of them streaming.
    pub async fn with_replicas(count: usize, options: &Options) -> Result<Self> {
        with_fresh_ports(|| async {
            let sandbox = Sandbox::new()?;
            let room = sandbox.room().clone();
            let primary = Node::new(&room, options.prepare(&room, "primary")?)?;
            let mut pair = Self {
                sandbox,
                primary,
                replicas: Vec::new(),
            };
            pair.primary.start().await?;
            for number in 1..=count {
                pair.follow_from_template(number, options).await?;
            }
            pair.ready().await?;
            Ok(pair)
        })
        .await
    }

    /// Adds a replica by a base backup of the running primary, with all that was written by now.
    pub async fn add_replica(&mut self) -> Result<&mut Replica> {
        let name = format!("replica{}", self.replicas.len() + 1);
        let data = self.sandbox.room().folder().join(&name);
        let link = Proxy::start(self.primary.address())?;
        self.add_slot(&name).await?;
        self.copy(&data, &link, &name).await?;
        let node = Node::new(self.sandbox.room(), data)?;
        self.attach(node, link, &name).await?;
        self.ready().await?;
        self.replicas.last_mut().context("it was added")
    }

    /// Makes a replica anew from the running primary, at its old address: as one that was promoted and
    /// whose timeline was thrown away. It must not run.
    pub async fn copy_anew(&mut self, replica: usize) -> Result<()> {
        let name = format!("replica{}", replica + 1);
        let Replica { node, link } = self.replicas.get(replica).context("no such replica")?;
        std::fs::remove_dir_all(node.data())?;
        self.copy(node.data(), link, &name).await?;
        standby(self.sandbox.room(), &name, link)?;
        self.replicas[replica].node.start().await
    }

    async fn add_slot(&self, name: &str) -> Result<String> {
        let slot = format!("select pg_create_physical_replication_slot('{name}', true)");
        self.primary.execute(&slot).await
    }

    /// A base backup of the primary by way of `link`.
    async fn copy(&self, data: &Path, link: &Proxy, slot: &str) -> Result<()> {
        let mut backup = self.primary.program("pg_basebackup");
        backup
            .args(["--checkpoint=fast", "--no-sync", "--wal-method=stream"])
            .args(["--slot", slot, "--pgdata"])
            .arg(data)
            .args(["--dbname", &connection(link, slot)]);
        output(backup, LIMIT).await?;
        Ok(())
    }

    /// Waits until every replica streams, as at the start or after a fault was undone.
    pub async fn ready(&self) -> Result<()> {
        eventually("the standbys", LIMIT, || async {
            let streaming = self.primary.streaming().await?;
            ensure!(
                streaming == self.replicas.len(),
                "{streaming} are streaming"
            );
            Ok(())
        })
        .await
    }

    /// A copy of the cleanly stopped template is a standby of any other copy.
    async fn follow_from_template(&mut self, number: usize, options: &Options) -> Result<()> {
        let name = format!("replica{number}");
        let room = self.sandbox.room();
        let node = Node::new(room, options.prepare(room, &name)?)?;
        let link = Proxy::start(self.primary.address())?;
        self.add_slot(&name).await?;
        self.attach(node, link, &name).await
    }

    async fn attach(&mut self, mut node: Node, link: Proxy, name: &str) -> Result<()> {
        let room = self.sandbox.room();
        standby(room, name, &link)?;
        node.start().await?;
        self.replicas.push(Replica { node, link });
        Ok(())
    }
}

/// Makes a data directory that of a standby.
fn standby(room: &Room, name: &str, link: &Proxy) -> Result<()> {
    let file = format!("{name}/postgresql.conf");
    let mut conf = std::fs::read_to_string(room.folder().join(&file))?;
    writeln!(conf, "primary_conninfo = '{}'", connection(link, name))?;
    writeln!(conf, "primary_slot_name = '{name}'")?;
    room.write(&file, &conf)?;
    room.write(&format!("{name}/standby.signal"), "")?;
    Ok(())
}

fn connection(link: &Proxy, name: &str) -> String {
    format!(
        "host=127.0.0.1 port={} user=replicator password={REPLICATOR_PASSWORD} application_name={name}",
        link.address().port()
    )
}
