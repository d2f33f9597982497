//! A base backup of a running server, and the server that is restored from it.

use std::{fmt::Write as _, fs, path::PathBuf};

use anyhow::Result;

use super::{
    node::Node,
    postgres::Postgres,
    sandbox::Sandbox,
    template::REPLICATOR_PASSWORD,
    wait::{LIMIT, output},
};

/// A data directory as `pg_basebackup` has copied it.
#[derive(Debug)]
pub struct Backup {
    sandbox: Sandbox,
    data: PathBuf,
}

impl Postgres {
    /// Copies it while it runs, with the log that makes the copy whole.
    pub async fn base_backup(&self) -> Result<Backup> {
        let sandbox = Sandbox::new()?;
        let data = sandbox.room().folder().join("restored");
        let mut backup = self.node.program("pg_basebackup");
        backup
            .args(["--checkpoint=fast", "--no-sync", "--wal-method=stream"])
            .arg("--pgdata")
            .arg(&data)
            .arg("--dbname")
            .arg(format!(
                "host=127.0.0.1 port={} user=replicator password={REPLICATOR_PASSWORD}",
                self.node.port()
            ));
        output(backup, LIMIT).await?;
        Ok(Backup { sandbox, data })
    }
}

impl Backup {
    /// Starts it on a port of its own.
    pub async fn restore(self) -> Result<Postgres> {
        let room = self.sandbox.room();
        // The settings were copied, too, and name a folder that may be gone.
        let file = self.data.join("postgresql.conf");
        let mut settings = fs::read_to_string(&file)?;
        writeln!(
            settings,
            "unix_socket_directories = '{}'",
            room.folder().display()
        )?;
        fs::write(file, settings)?;
        let mut node = Node::new(room, self.data)?;
        node.start().await?;
        Ok(Postgres::of(self.sandbox, node))
    }
}
