//! How a cluster is set up, and its start.

use anyhow::{Context, Result};

use super::{
    Addresses, Managed, Patroni, config, etcd_is_up, has_leader, start_etcd, start_haproxy,
};
use crate::servers::{
    ports::{Port, with_fresh_ports},
    sandbox::Sandbox,
    template::clients,
};

/// How a cluster is set up.
#[derive(Debug, Clone)]
pub struct Options {
    pub(super) nodes: usize,
    pub(super) synchronous: bool,
    pub(super) settings: Vec<(String, String)>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            nodes: 3,
            synchronous: false,
            settings: Vec::new(),
        }
    }
}

impl Options {
    /// Three nodes, asynchronous replication.
    pub fn new() -> Self {
        Self::default()
    }

    /// So many nodes, at least one.
    #[must_use]
    pub fn nodes(mut self, nodes: usize) -> Self {
        self.nodes = nodes;
        self
    }

    /// Patroni's `synchronous_mode`: what was acknowledged survives any failover.
    #[must_use]
    pub fn synchronous(mut self) -> Self {
        self.synchronous = true;
        self
    }

    /// Sets a parameter of PostgreSQL that Patroni does not manage by the cluster.
    #[must_use]
    pub fn setting(mut self, parameter: &str, value: &str) -> Self {
        self.settings.push((parameter.to_owned(), value.to_owned()));
        self
    }

    /// Starts the cluster and waits until every node does what it should.
    pub async fn start(&self) -> Result<Patroni> {
        with_fresh_ports(|| self.attempt()).await
    }

    async fn attempt(&self) -> Result<Patroni> {
        let sandbox = Sandbox::new()?;
        let room = sandbox.room().clone();
        let (leader, replicas) = (Port::free()?, Port::free()?);
        let etcd_ports = [Port::free()?, Port::free()?];
        let mut nodes = Vec::new();
        for node in 0..self.nodes {
            nodes.push(Managed::prepare(&room, &config::name(node))?);
        }
        let addresses = Addresses {
            leader: leader.number(),
            replicas: replicas.number(),
            etcd: etcd_ports[0].number(),
            postgres: nodes.iter().map(|node| node.server.port()).collect(),
            rest: nodes.iter().map(|node| node.rest.number()).collect(),
        };
        // Patroni wants all of them, and those that were chosen may be servers alone.
        let programs = clients()?;
        let folder = room.folder().display().to_string();
        for node in 0..self.nodes {
            let programs = programs.display().to_string();
            let text = config::node(node, &addresses, self, &folder, &programs);
            room.write(&format!("{}/patroni.yml", config::name(node)), &text)?;
        }
        room.write("haproxy.cfg", &config::haproxy(&addresses, &folder))?;
        let mut etcd = start_etcd(&room, &etcd_ports)?;
        etcd_is_up(&mut etcd, &etcd_ports[0]).await?;
        nodes[0].start(&room, &config::name(0))?;
        has_leader(&room, &etcd_ports[0])
            .await
            .with_context(|| nodes[0].server.log_tail())?;
        for (number, node) in nodes.iter_mut().enumerate().skip(1) {
            node.start(&room, &config::name(number))?;
        }
        let cluster = Patroni {
            haproxy: start_haproxy(&room)?,
            sandbox,
            nodes,
            etcd,
            leader,
            replicas,
            _etcd_ports: etcd_ports,
            synchronous: self.synchronous,
        };
        cluster.ready().await?;
        Ok(cluster)
    }
}
