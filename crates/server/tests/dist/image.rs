//! The program in a root that has what its image has, and nothing else.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use sso_testkit::{
    persona::Persona,
    process::{Server, Site},
    servers::{kafka::Kafka, registry::Registry},
};
use tempfile::TempDir;

use crate::{LONG, dist};

/// Most bytes of an image.
const IMAGE: u64 = 25_000_000;
/// As the Dockerfile says.
const USER: u32 = 65532;

/// The root of a container.
struct Root(TempDir);

impl Root {
    /// Does what the Dockerfile does.
    fn new() -> Result<Self> {
        let root = Self(TempDir::with_prefix("sso-image-")?);
        let dist = dist()?;
        copy(&dist.join("rootfs"), root.path())?;
        copy(&dist.join("data"), &root.path().join("data"))?;
        fs::copy(dist.join("sso"), root.path().join("program"))?;
        // Whoever runs it finds the way to it.
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755))?;
        if rustix::process::geteuid().is_root() {
            chown(root.path().join("data"), Some(USER), Some(USER))?;
        }
        Ok(root)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// A program that runs the one in this root, as its user, with no capability.
    fn entry(&self) -> Result<PathBuf> {
        let root = self.path().display();
        let enter = if rustix::process::geteuid().is_root() {
            format!("/usr/sbin/chroot --userspec={USER}:{USER} {root}")
        } else {
            format!("/usr/bin/unshare --map-root-user --root={root}")
        };
        let entry = self.path().with_extension("enter");
        fs::write(&entry, format!("#!/bin/sh\nexec {enter} /program \"$@\"\n"))?;
        fs::set_permissions(&entry, fs::Permissions::from_mode(0o755))?;
        Ok(entry)
    }

    /// A file that everybody there may read.
    fn put(&self, name: &str, from: &Path) -> Result<()> {
        let file = self.path().join(name);
        fs::copy(from, &file)?;
        Ok(fs::set_permissions(
            file,
            fs::Permissions::from_mode(0o644),
        )?)
    }

    /// A site whose server runs in this root.
    fn site(&self) -> Result<Site> {
        let mut site = Site::new(self.entry()?)?;
        site.set("SSO__DATA_DIR", "/data");
        Ok(site)
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        let _ = fs::remove_file(self.path().with_extension("enter"));
    }
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let mut copy = Command::new("cp");
    copy.args(["--archive", "--no-target-directory"])
        .arg(from)
        .arg(to);
    ensure!(copy.status()?.success(), "cp {}", from.display());
    Ok(())
}

/// `events list` of a server in a root: the status of each event.
fn statuses(site: &Site) -> Result<Vec<Value>> {
    let list: Vec<Value> =
        serde_json::from_str(&site.run_ok(&["events", "list", "--output", "json"])?)?;
    ensure!(!list.is_empty(), "no events");
    Ok(list.iter().map(|event| event["status"].clone()).collect())
}

/// What readiness says of a dependency.
async fn said(server: &Server, name: &str) -> Result<String> {
    let ready = server.admin.get("/auth/ready", None).await?.json();
    let list = ready["dependencies"].as_array();
    let list = list.context("no dependencies")?;
    let found = list.iter().find(|found| found["name"] == name);
    let found = found.with_context(|| format!("no {name} in {ready}"))?;
    Ok(format!("{} {}", found["state"], found["cause"]))
}

/// Waits until what readiness says of a dependency has this word.
async fn says(server: &Server, name: &str, word: &str) -> Result<()> {
    let started = Instant::now();
    loop {
        let said = said(server, name).await?;
        if said.contains(word) {
            return Ok(());
        }
        ensure!(started.elapsed() < LONG, "{name}: not {word} but {said}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[test]
#[ignore = "needs what is shipped: cargo xtask test --dist"]
fn there_is_no_library_and_no_interpreter_in_it() -> Result<()> {
    let ldd = Command::new("ldd").arg(dist()?.join("sso")).output()?;
    let said = [ldd.stdout, ldd.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    ensure!(
        said.contains("statically linked") || said.contains("not a dynamic"),
        "{said}"
    );
    let bytes = fs::metadata(dist()?.join("sso"))?.len();
    let roots = dist()?.join("rootfs/etc/ssl/certs/ca-certificates.crt");
    let image = bytes + fs::metadata(roots)?.len();
    println!("sso: {bytes} bytes, {image} with the roots of trust");
    ensure!(image <= IMAGE, "{image} bytes");
    Ok(())
}

#[tokio::test]
#[ignore = "needs what is shipped: cargo xtask test --dist"]
async fn in_an_empty_root_it_serves_and_keeps_an_event_for_brokers_that_it_cannot_trust()
-> Result<()> {
    let kafka = Kafka::start_secure().await?;
    kafka.create_topic("registration", 1).await?;
    let registry = Registry::in_memory_tls()?;
    let root = Root::new()?;
    root.put("registry.pem", &registry.authority()?)?;
    let mut site = root.site()?;
    site.set("SSO__EVENTS__SINK", "kafka")
        .set("SSO__KAFKA__BROKERS", kafka.secure_brokers()?)
        .set("SSO__KAFKA__REGISTRY_URL", registry.url())
        .set("SSO__KAFKA__REGISTRY_CA", "/registry.pem")
        .set("SSO__KAFKA__DELIVERY_TIMEOUT", "2s")
        .set("SSO__KAFKA__TLS", true)
        .set("SSO__KAFKA__SASL_MECHANISM", "scram-sha-512")
        .set("SSO__KAFKA__SASL_USERNAME", "alice")
        .set("SSO__KAFKA__SASL_PASSWORD", "alice-secret");
    let mut server = site.serve().await?;
    let mut alice = Persona::register(&server.http, "alice").await?;
    assert_eq!(alice.login().await?.status, 200);
    assert_eq!(alice.info().await?.status, 200);
    assert!(site.run(&["healthcheck"])?.status.success());

    // The roots of the image do not know the brokers' authority: refused, told, and kept.
    says(&server, "kafka", "certificate").await?;
    assert_eq!(statuses(&site)?, ["inProgress"]);
    assert!(kafka.consume_all("registration").await?.is_empty());
    assert_eq!(server.http.get("/auth/ready", None).await?.status, 200);
    let log = site.log()?;
    assert!(
        !log.contains("panicked") && !log.contains("alice-secret"),
        "{log}"
    );
    server.terminate()?;
    assert!(server.wait(LONG).await?.success());

    // Where the roots of the image know it the same event arrives, though nobody says where they lie.
    root.put("etc/ssl/certs/ca-certificates.crt", &kafka.authority())?;
    let mut server = site.serve().await?;
    delivered(&site).await?;
    assert_eq!(kafka.consume_all("registration").await?.len(), 1);
    server.terminate()?;
    assert!(server.wait(LONG).await?.success());

    // By a root that is named, too.
    fs::remove_file(root.path().join("etc/ssl/certs/ca-certificates.crt"))?;
    root.put("kafka.pem", &kafka.authority())?;
    site.set("SSO__KAFKA__TLS_CA", "/kafka.pem");
    let server = site.serve().await?;
    Persona::register(&server.http, "bob").await?;
    delivered(&site).await?;
    assert_eq!(kafka.consume_all("registration").await?.len(), 2);
    Ok(())
}

/// Waits until every event has arrived.
async fn delivered(site: &Site) -> Result<()> {
    let started = Instant::now();
    while statuses(site)?.iter().any(|status| status != "Success") {
        ensure!(started.elapsed() < LONG, "not delivered: {}", site.log()?);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}
