//! What brokers are started from: the jars that `cargo xtask tools` has downloaded, one formatted
//! folder to copy, and an archive of the classes that a broker loads (it halves the start).

use std::{
    ffi::OsString,
    fs::{self, File},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use tokio::task::spawn_blocking;

use super::{
    client, launch,
    properties::{self, Node},
};
use crate::servers::{Port, Sandbox, wait};

/// Relative to the root of the repository; what `cargo xtask tools` fills.
const FOLDER: &str = "../../target/tools/kafka-4.3.1";
/// For each step of the preparation, on a busy machine.
const PATIENCE: Duration = Duration::from_mins(2);
/// Raised when what is prepared below changes.
const PREPARED: &str = "prepared-2";

/// Where everything lies.
#[derive(Debug, Clone)]
pub(super) struct Jars {
    class_path: OsString,
    prepared: PathBuf,
}

impl Jars {
    /// Finds the jars, and prepares once what all clusters share; that takes seconds.
    pub(super) async fn find() -> Result<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(FOLDER);
        ensure!(
            folder.join("complete").exists(),
            "there is no Apache Kafka to test with: run `cargo xtask tools`"
        );
        let folder = folder.canonicalize()?;
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
        // Until the file is closed; other processes wait.
        let _lock = spawn_blocking(move || lock.lock().map(|()| lock)).await??;
        if !found.prepared.join("complete").exists() {
            found
                .prepare()
                .await
                .context("cannot prepare Apache Kafka")?;
        }
        Ok(found)
    }

    /// Arguments that run one of Kafka's classes.
    pub(super) fn java(&self, class: &str) -> Vec<OsString> {
        let mut java: Vec<OsString> = [
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            "-XX:-UsePerfData",
            "-Xss512k",
            "-Xmx256m",
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
            "-Dorg.slf4j.simpleLogger.showDateTime=true",
        ]
        .map(OsString::from)
        .to_vec();
        let archive = self.archive();
        if archive.exists() {
            java.push("-Xshare:auto".into());
            java.push(argument("-XX:SharedArchiveFile=", &archive));
        }
        java.extend(["-cp".into(), self.class_path.clone(), class.into()]);
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

    async fn prepare(&self) -> Result<()> {
        let _ = fs::remove_dir_all(&self.prepared);
        fs::create_dir_all(&self.prepared)?;
        let sandbox = Sandbox::new()?;
        let (port, controller) = (Port::free()?, Port::free()?);
        let folder = sandbox.room().folder().to_owned();
        let node = Node::alone(&folder, [port.number(), controller.number()]);
        let settings = folder.join("server.properties");
        fs::write(&settings, node.properties())?;
        let mut format = self.java("kafka.tools.StorageTool");
        format.extend(["format", "-t", properties::CLUSTER, "-c"].map(OsString::from));
        format.push(settings.clone().into());
        for (user, password) in properties::USERS {
            for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-512"] {
                let user = format!("{mechanism}=[name={user},password={password},iterations=4096]");
                format.extend(["--add-scram".into(), user.into()]);
            }
        }
        wait::output(launch(sandbox.room(), format), PATIENCE).await?;
        fs::copy(
            node.folder.join("bootstrap.checkpoint"),
            self.prepared.join("bootstrap.checkpoint"),
        )?;
        self.record_classes(&sandbox, &settings, &node).await?;
        Ok(fs::write(self.prepared.join("complete"), "")?)
    }

    /// Runs a broker, uses it a little, and has Java write down what classes it took.
    async fn record_classes(&self, sandbox: &Sandbox, settings: &Path, node: &Node) -> Result<()> {
        let archive = self.prepared.join("classes.new");
        let mut java = vec![argument("-XX:ArchiveClassesAtExit=", &archive)];
        java.extend(self.java("kafka.Kafka"));
        java.push(settings.into());
        let log = sandbox.room().folder().join("prepare.log");
        let mut broker = super::start("kafka", sandbox.room(), java, &log)?;
        let brokers = format!("127.0.0.1:{}", node.port);
        wait::eventually("a broker", PATIENCE, || client::listed(&brokers, 1)).await?;
        client::create_topic(&brokers, "warm", 1, 1, &[]).await?;
        let used = spawn_blocking(move || {
            client::produce_blocking(&brokers, "warm", b"key", b"value", &[])
        });
        used.await??;
        broker.stop(Signal::TERM, PATIENCE).await?;
        // Java before 13 does not write it: then starts are slower.
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
