//! What brokers are started from: the jars that `cargo xtask tools` has downloaded, one formatted
//! folder to copy, and an archive of the classes that a broker loads (it halves the start).

use std::{
    ffi::OsString,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use super::{
    Broker, client,
    properties::{self, Node},
};
use crate::process::free_port;

/// Relative to the root of the repository; what `cargo xtask tools` fills.
const FOLDER: &str = "../../target/tools/kafka-4.3.1";
/// Raised when what is prepared below changes.
const PREPARED: &str = "prepared-1";

/// Where everything lies.
#[derive(Debug, Clone)]
pub(super) struct Jars {
    class_path: OsString,
    prepared: PathBuf,
}

impl Jars {
    /// Finds the jars, and prepares once what all clusters share. Blocks: seconds, the first time.
    pub(super) fn find() -> Result<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(FOLDER);
        ensure!(
            folder.join("complete").exists(),
            "there is no Apache Kafka to test with: run `cargo xtask tools`"
        );
        let mut jars: Vec<PathBuf> = fs::read_dir(folder.join("libs"))?
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<Result<_, _>>()?;
        // The archive of classes is bound to this order.
        jars.sort();
        let found = Self {
            class_path: std::env::join_paths(jars)?,
            prepared: folder.join(PREPARED),
        };
        let lock = File::create(folder.join("lock"))?;
        lock.lock()?;
        if !found.prepared.join("complete").exists() {
            found.prepare().context("cannot prepare Apache Kafka")?;
        }
        Ok(found)
    }

    /// A command of one of Kafka's classes.
    pub(super) fn command(&self, class: &str) -> Command {
        let mut java = Command::new("java");
        java.args([
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            "-XX:-UsePerfData",
            "-Xss512k",
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
            "-Dorg.slf4j.simpleLogger.showDateTime=true",
        ])
        .stdin(Stdio::null());
        let archive = self.archive();
        if archive.exists() {
            java.arg("-Xshare:auto");
            java.arg(argument("-XX:SharedArchiveFile=", &archive));
        }
        java.arg("-cp").arg(&self.class_path).arg(class);
        java
    }

    /// A command that starts a broker.
    pub(super) fn broker(&self, settings: &Path) -> Command {
        let mut java = self.command("kafka.Kafka");
        java.arg(settings);
        java
    }

    /// Makes the folder of a node what `StorageTool format` makes of it.
    pub(super) fn format(&self, folder: &Path, node: u32) -> Result<()> {
        fs::create_dir_all(folder)?;
        fs::copy(
            self.prepared.join("bootstrap.checkpoint"),
            folder.join("bootstrap.checkpoint"),
        )?;
        Ok(fs::write(
            folder.join("meta.properties"),
            properties::meta(node),
        )?)
    }

    fn archive(&self) -> PathBuf {
        self.prepared.join("classes.jsa")
    }

    fn prepare(&self) -> Result<()> {
        let _ = fs::remove_dir_all(&self.prepared);
        fs::create_dir_all(&self.prepared)?;
        let folder = TempDir::with_prefix("kafka-prepare-")?;
        let node = Node::alone(folder.path(), [free_port()?, free_port()?]);
        let settings = folder.path().join("server.properties");
        fs::write(&settings, node.properties())?;
        let mut format = self.command("kafka.tools.StorageTool");
        format.args(["format", "-t", properties::CLUSTER, "-c"]);
        format.arg(&settings);
        for (user, password) in properties::USERS {
            format.arg("--add-scram");
            format.arg(format!(
                "SCRAM-SHA-256=[name={user},password={password},iterations=4096]"
            ));
            format.arg("--add-scram");
            format.arg(format!(
                "SCRAM-SHA-512=[name={user},password={password},iterations=4096]"
            ));
        }
        let done = format.output()?;
        ensure!(
            done.status.success(),
            "{}",
            String::from_utf8_lossy(&done.stderr)
        );
        fs::copy(
            node.folder.join("bootstrap.checkpoint"),
            self.prepared.join("bootstrap.checkpoint"),
        )?;
        self.record_classes(&settings, &node)?;
        Ok(fs::write(self.prepared.join("complete"), "")?)
    }

    /// Runs a broker, uses it a little, and has Java write down what classes it took.
    fn record_classes(&self, settings: &Path, node: &Node) -> Result<()> {
        let archive = self.prepared.join("classes.new");
        let mut java = Command::new("java");
        java.arg(argument("-XX:ArchiveClassesAtExit=", &archive));
        java.args(self.broker(settings).get_args());
        let log = File::create(node.folder.with_extension("log"))?;
        let mut broker = Broker::spawn(java, log)?;
        let brokers = format!("127.0.0.1:{}", node.port);
        client::await_brokers(&brokers, 1)?;
        client::create_topic_blocking(&brokers, "warm", 1, 1, &[])?;
        client::produce_blocking(&brokers, "warm", b"key", b"value", &[])?;
        broker.terminate()?;
        // Java 19 and later would do without; an older one may not write it: then starts are slower.
        if archive.exists() {
            fs::rename(archive, self.archive())?;
        }
        Ok(())
    }
}

fn argument(name: &str, path: &Path) -> OsString {
    let mut argument = OsString::from(name);
    argument.push(path);
    argument
}
