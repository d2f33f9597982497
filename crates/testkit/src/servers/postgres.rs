//! A PostgreSQL server alone.

use std::{fmt::Write as _, path::PathBuf};

use anyhow::Result;
use tokio::sync::OnceCell;

use super::{
    node::Node,
    ports::with_fresh_ports,
    sandbox::{Room, Sandbox},
    template::{make, programs, template},
};
use crate::pki::Issued;

/// A primary without standbys; it ends when this is dropped.
#[derive(Debug)]
pub struct Postgres {
    // First, so that it is dropped first and the server is asked to quit, not killed.
    _sandbox: Sandbox,
    /// The server and its verbs.
    pub node: Node,
}

/// How a server is set up.
#[derive(Debug, Clone, Default)]
pub struct Options {
    settings: Vec<(String, String)>,
    tls: Option<Tls>,
    foreign: bool,
}

#[derive(Debug, Clone)]
struct Tls {
    server: Issued,
    required: bool,
    /// Who certifies clients; they need no password then.
    clients: Option<String>,
}

impl Options {
    /// The defaults: no TLS, fsync off (a test outlives no power cut), 100 connections.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a parameter of `postgresql.conf`, e.g. `max_connections`.
    #[must_use]
    pub fn setting(mut self, parameter: &str, value: &str) -> Self {
        self.settings.push((parameter.to_owned(), value.to_owned()));
        self
    }

    /// Offers TLS with this certificate.
    #[must_use]
    pub fn tls(mut self, server: &Issued) -> Self {
        self.tls = Some(Tls {
            server: server.clone(),
            required: false,
            clients: None,
        });
        self
    }

    /// Offers TLS with this certificate and refuses whoever comes without, but for replication.
    #[must_use]
    pub fn only_tls(mut self, server: &Issued) -> Self {
        self.tls = Some(Tls {
            server: server.clone(),
            required: true,
            clients: None,
        });
        self
    }

    /// [`Self::only_tls`], and lets in who shows a certificate of the authority with this root (PEM)
    /// for the role that he asks for, and nobody else.
    #[must_use]
    pub fn only_certified(mut self, server: &Issued, root: String) -> Self {
        self.tls = Some(Tls {
            server: server.clone(),
            required: true,
            clients: Some(root),
        });
        self
    }

    /// Another cluster than all others here, with a system identifier of its own; takes a second
    /// longer. A primary alone.
    #[must_use]
    pub fn foreign(mut self) -> Self {
        self.foreign = true;
        self
    }

    /// A data directory `name` with these options, copied from the template.
    pub(super) fn prepare(&self, room: &Room, name: &str) -> Result<PathBuf> {
        let data = if self.foreign {
            let made = make(room, &programs()?)?;
            let data = room.folder().join(name);
            std::fs::rename(made, &data)?;
            data
        } else {
            room.copy(&template()?, name)?
        };
        let mut conf = std::fs::read_to_string(data.join("postgresql.conf"))?;
        conf.push_str(SETTINGS);
        writeln!(
            conf,
            "unix_socket_directories = '{}'",
            room.folder().display()
        )?;
        let (mut hosts, mut method) = ("host", "scram-sha-256");
        if let Some(tls) = &self.tls {
            room.write(&format!("{name}/server.crt"), &tls.server.certificate)?;
            room.write(&format!("{name}/server.key"), &tls.server.key)?;
            conf.push_str("ssl = on\nssl_cert_file = 'server.crt'\nssl_key_file = 'server.key'\n");
            if tls.required {
                hosts = "hostssl";
            }
            if let Some(root) = &tls.clients {
                room.write(&format!("{name}/clients.crt"), root)?;
                conf.push_str("ssl_ca_file = 'clients.crt'\n");
                method = "cert";
            }
        }
        for (parameter, value) in &self.settings {
            writeln!(conf, "{parameter} = '{}'", value.replace('\'', "''"))?;
        }
        room.write(&format!("{name}/postgresql.conf"), &conf)?;
        let access = format!(
            "local all all trust\n\
             {hosts} all all 127.0.0.0/8 {method}\n\
             host replication all 127.0.0.0/8 scram-sha-256\n"
        );
        room.write(&format!("{name}/pg_hba.conf"), &access)?;
        Ok(data)
    }

    /// Starts a primary alone.
    pub async fn start(&self) -> Result<Postgres> {
        with_fresh_ports(|| async {
            let sandbox = Sandbox::new()?;
            let data = self.prepare(sandbox.room(), "primary")?;
            let mut node = Node::new(sandbox.room(), data)?;
            node.start().await?;
            Ok(Postgres {
                _sandbox: sandbox,
                node,
            })
        })
        .await
    }
}

impl Postgres {
    /// A node that runs in this sandbox.
    pub(super) fn of(sandbox: Sandbox, node: Node) -> Self {
        Self {
            _sandbox: sandbox,
            node,
        }
    }

    /// Starts one with the defaults.
    pub async fn start() -> Result<Self> {
        Options::new().start().await
    }

    /// The one server of this test process, for tests that only want a database of their own. It
    /// is started by the first that asks and ends with the process.
    pub async fn shared() -> Result<&'static Self> {
        static SHARED: OnceCell<Postgres> = OnceCell::const_new();
        SHARED.get_or_try_init(Self::start).await
    }

    /// The URL of the database `postgres` for the superuser, with the password.
    pub fn url(&self) -> String {
        self.node.url("postgres")
    }

    /// [`Node::database`].
    pub async fn database(&self, name: &str) -> Result<String> {
        self.node.database(name).await
    }

    /// [`Node::database_from`].
    pub async fn database_from(&self, template: &str, name: &str) -> Result<String> {
        self.node.database_from(template, name).await
    }

    /// [`Node::execute`].
    pub async fn execute(&self, sql: &str) -> Result<String> {
        self.node.execute(sql).await
    }
}

/// Small, quick to start, and what standbys and pg_rewind need. Shared memory by mmap, as kill -9
/// would leave files in /dev/shm.
const SETTINGS: &str = "
listen_addresses = '127.0.0.1'
fsync = off
full_page_writes = on
wal_log_hints = on
wal_level = replica
hot_standby = on
max_connections = 100
max_wal_senders = 10
max_replication_slots = 10
shared_buffers = 16MB
dynamic_shared_memory_type = mmap
min_wal_size = 8MB
max_wal_size = 256MB
jit = off
log_checkpoints = off
log_line_prefix = '%m [%p] %q%u@%d '
wal_receiver_status_interval = 1s
wal_retrieve_retry_interval = 200ms
";
