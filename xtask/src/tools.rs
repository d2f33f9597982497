//! What the commands need beside rustup, a C compiler and make: installed where that is allowed,
//! else named.

use std::{
    fs,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Result, bail};

use crate::{
    registries::environment,
    shell::{cargo, root, run, works},
};

/// The version that `deny.toml` was written for.
const CARGO_DENY: &str = "0.20.2";

/// The newest version that Go's tools install without a checkout.
const H2SPEC: &str = "github.com/summerwind/h2spec/cmd/h2spec@v2.2.1+incompatible";

/// Tries what an OpenAPI document promises.
const SCHEMATHESIS: &str = "schemathesis==4.32.5";

/// Chromium and its driver, for the tests of the Swagger pages.
pub(crate) fn ensure_browser() -> Result<()> {
    if works("chromedriver", "--version") && works("chromium", "--version") {
        return Ok(());
    }
    if may_install() {
        return install(&["chromium", "chromium-driver"]);
    }
    bail!(
        "the tests of the Swagger pages need chromium and chromedriver: apt install chromium chromium-driver"
    )
}

/// What `testkit` starts, and the Debian packages that have it.
const SERVERS: &[(&str, &[&str])] = &[
    ("postgres", &["postgresql"]),
    ("psql", &["postgresql-client"]),
    // Without its name apt may choose the library of another store for Patroni.
    ("patroni", &["patroni", "python3-etcd", "python3-psycopg2"]),
    ("etcd", &["etcd-server"]),
    ("etcdctl", &["etcd-client"]),
    ("haproxy", &["haproxy"]),
    ("redis-server", &["redis-server"]),
    ("redis-cli", &["redis-tools"]),
    ("prometheus", &["prometheus"]),
    ("python3", &["python3"]),
    ("find", &["findutils"]),
    ("ipcrm", &["util-linux"]),
    ("prlimit", &["util-linux"]),
    // The program, and with it the library that tests load into an instance.
    ("faketime", &["faketime"]),
    ("curl", &["curl"]),
];

/// What the checks of `deploy/` ask.
const CHECKERS: &[(&str, &[&str])] = &[
    ("haproxy", &["haproxy"]),
    ("openssl", &["openssl"]),
    ("python3", &["python3"]),
];

/// The servers that tests start for themselves.
pub(crate) fn ensure_servers() -> Result<()> {
    ensure(SERVERS)
}

/// What the checks of `deploy/` ask beside their own tools.
pub(crate) fn ensure_checkers() -> Result<()> {
    ensure(CHECKERS)
}

fn ensure(programs: &[(&str, &[&str])]) -> Result<()> {
    let missing = || programs.iter().filter(|(program, _)| !installed(program));
    let packages: Vec<&str> = missing()
        .flat_map(|(_, packages)| *packages)
        .copied()
        .collect();
    if packages.is_empty() {
        return Ok(());
    }
    if may_install() {
        install_stopped(&packages)?;
    }
    let programs: Vec<&str> = missing().map(|(program, _)| *program).collect();
    if programs.is_empty() {
        return Ok(());
    }
    bail!(
        "the tests and checks start {} themselves: apt install {}",
        programs.join(", "),
        packages.join(" ")
    )
}

/// Whether a program is where `testkit` looks for it.
fn installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let debian = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let postgresql = debian.filter_map(|version| Some(version.ok()?.path().join("bin")));
    std::env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin")])
        .chain(postgresql)
        .any(|folder| folder.join(program).exists())
}

/// Installs servers without starting them: Debian's packages would, on the default ports, and would
/// make a database cluster that nobody needs.
fn install_stopped(packages: &[&str]) -> Result<()> {
    let clusters = Path::new("/etc/postgresql-common/createcluster.conf");
    if !clusters.exists() {
        fs::create_dir_all("/etc/postgresql-common")?;
        fs::write(clusters, "create_main_cluster = false\n")?;
    }
    let _policy = Policy::forbid_starts()?;
    install(packages)
}

/// The file by which an administrator says that packages start nothing; removed when dropped.
struct Policy(&'static Path);

impl Policy {
    /// None if there is one already, e.g. in a container: that one is left alone.
    fn forbid_starts() -> Result<Option<Self>> {
        let path = Path::new("/usr/sbin/policy-rc.d");
        let mut options = fs::File::options();
        match options.create_new(true).write(true).mode(0o755).open(path) {
            Ok(mut file) => {
                let policy = Self(path);
                // 101: an action is forbidden by the policy.
                std::io::Write::write_all(&mut file, b"#!/bin/sh\nexit 101\n")?;
                Ok(Some(policy))
            }
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

impl Drop for Policy {
    fn drop(&mut self) {
        let _ = fs::remove_file(self.0);
    }
}

/// h2spec, for the test of HTTP/2; built once from its source into `target/tools`.
pub(crate) fn ensure_h2spec() -> Result<()> {
    let folder = root().join("target/tools");
    let built = folder.join("h2spec");
    if works("h2spec", "--version") || works(&built.to_string_lossy(), "--version") {
        return Ok(());
    }
    if !works("go", "version") && may_install() {
        install(&["golang-go"])?;
    }
    if !works("go", "version") {
        bail!("the test of HTTP/2 needs h2spec: put it on the PATH, or install Go to have it built")
    }
    let mut go = Command::new("go");
    go.args(["install", H2SPEC])
        .env("GOBIN", std::path::absolute(folder)?);
    run(go)
}

/// What checks dashboards against Grafana's published schema; built from `xtask/grafana` into
/// `target/tools`.
pub(crate) fn ensure_grafana_check() -> Result<PathBuf> {
    if !works("go", "version") && may_install() {
        install(&["golang-go"])?;
    }
    if !works("go", "version") {
        bail!("the check of the dashboards is a program in Go: install Go to have it built")
    }
    let program = std::path::absolute(root().join("target/tools/grafana-check"))?;
    let mut build = Command::new("go");
    build
        .args(["build", "-o"])
        .arg(&program)
        .arg(".")
        .current_dir(root().join("xtask/grafana"));
    run(build)?;
    Ok(program)
}

/// schemathesis, for the test of the OpenAPI documents; installed once into `target/tools`.
pub(crate) fn ensure_schemathesis() -> Result<()> {
    let folder = std::path::absolute(root().join("target/tools/schemathesis"))?;
    let installed = folder.join("bin/schemathesis");
    if works("schemathesis", "--version") || works(&installed.to_string_lossy(), "--version") {
        return Ok(());
    }
    let mut pip = Command::new(environment(&folder)?);
    pip.args(["install", "--quiet", SCHEMATHESIS]);
    run(pip)
}

/// `cargo deny`, built once from its source.
pub(crate) fn ensure_cargo_deny() -> Result<()> {
    if works("cargo-deny", "--version") {
        return Ok(());
    }
    run(cargo([
        "install",
        "--locked",
        "--version",
        CARGO_DENY,
        "cargo-deny",
    ]))
}

/// A subcommand of cargo from its sources, built once into `target/tools`.
pub(crate) fn ensure_cargo_tool(name: &str, version: &str) -> Result<()> {
    if works_at(&cargo_tool(name)) {
        return Ok(());
    }
    let mut install = cargo(["install", "--locked", "--version", version, name, "--root"]);
    install
        .arg(root().join("target/tools"))
        // Its build is not one of ours.
        .env("CARGO_TARGET_DIR", root().join("target/tools/build"));
    run(install)
}

/// The command of a tool that [`ensure_cargo_tool`] has built.
pub(crate) fn cargo_tool(name: &str) -> Command {
    Command::new(root().join("target/tools/bin").join(name))
}

fn works_at(tool: &Command) -> bool {
    works(&tool.get_program().to_string_lossy(), "--version")
}

/// buildah, for images.
pub(crate) fn ensure_buildah() -> Result<()> {
    if works("buildah", "--version") {
        return Ok(());
    }
    if may_install() {
        return install(&["buildah"]);
    }
    bail!("images need buildah: apt install buildah")
}

/// Installs Debian packages.
pub(crate) fn install(packages: &[&str]) -> Result<()> {
    run(apt(&["update", "-qq"]))?;
    let mut install = apt(&["install", "-y", "-qq", "--no-install-recommends"]);
    // Others install too; and nobody is there to answer questions about changed files.
    install.args(["-o", "DPkg::Lock::Timeout=600"]);
    install.args(["-o", "Dpkg::Options::=--force-confold"]);
    install.args(packages);
    run(install)
}

pub(crate) fn may_install() -> bool {
    works("apt-get", "--version") && is_root()
}

fn apt(arguments: &[&str]) -> Command {
    let mut command = Command::new("apt-get");
    command
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive");
    command
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}
