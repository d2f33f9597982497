//! Apache Kafka for the tests, from Maven Central.

use std::{fs, process::Command};

use anyhow::{Result, bail};

use crate::{
    shell::{root, run, works},
    tools::{install, may_install},
};

/// Where testkit looks for it. The version is that of `xtask/kafka/pom.xml`.
const FOLDER: &str = "target/tools/kafka-4.3.1";

/// Downloads the jars once, and runs none that is not the one that was seen before.
pub(crate) fn ensure() -> Result<()> {
    let folder = std::path::absolute(root().join(FOLDER))?;
    let jars = folder.join("libs");
    ensure_java()?;
    if folder.join("complete").exists() {
        return Ok(());
    }
    ensure_maven()?;
    let list = std::path::absolute(root().join("xtask/kafka"))?;
    let mut maven = Command::new("mvn");
    maven
        .args(["--batch-mode", "--quiet", "--file"])
        .arg(list.join("pom.xml"))
        .args(["dependency:copy-dependencies", "-DincludeScope=runtime"])
        .arg(format!("-DoutputDirectory={}", jars.display()));
    run(maven)?;
    let mut check = Command::new("sha256sum");
    check
        .args(["--check", "--quiet", "--strict"])
        .arg(list.join("SHA256SUMS"))
        .current_dir(&jars);
    run(check)?;
    let known = fs::read_to_string(list.join("SHA256SUMS"))?.lines().count();
    let found = fs::read_dir(&jars)?.count();
    if known != found {
        bail!("{found} jars were downloaded, and {known} are known: see xtask/kafka");
    }
    Ok(fs::write(folder.join("complete"), "")?)
}

/// Brokers run on it, and Maven.
pub(crate) fn ensure_java() -> Result<()> {
    if !works("java", "-version") && may_install() {
        install(&["openjdk-17-jre-headless"])?;
    }
    if !works("java", "-version") {
        bail!(
            "the tests of events need Java 17 or later for Apache Kafka: apt install openjdk-17-jre-headless"
        )
    }
    Ok(())
}

/// Downloads from Maven Central.
pub(crate) fn ensure_maven() -> Result<()> {
    if !works("mvn", "-version") && may_install() {
        install(&["maven"])?;
    }
    if !works("mvn", "-version") {
        bail!(
            "the tests need Maven, once, to download Apache Kafka and PostgreSQL: apt install maven"
        )
    }
    Ok(())
}
