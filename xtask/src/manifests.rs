//! What is below `deploy/` is held to the schemas and the rules of those who will read it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Result, bail};

use crate::{
    registries,
    shell::{cargo, output, root, run, works},
    tools,
};

/// What the environment with the tools of `deploy/tests/requirements.txt` is called.
const TOOLS: &str = "deploy";
/// `systemd-analyze security` of a unit in tenths: 2.0 and less is safe enough.
const EXPOSURE: &str = "20";

/// Compose files, chart, images, units and scripts; the programs are asked whether they know what
/// is set for them.
pub(crate) fn check() -> Result<()> {
    tools::ensure_checkers()?;
    let tools = ensure_tools()?;
    let tool = |name: &str| {
        let mut command = Command::new(tools.join("bin").join(name));
        command.current_dir(root());
        command
    };
    let mut schema = tool("check-jsonschema");
    schema.args(["--builtin-schema", "vendor.compose-spec"]);
    schema.args(["deploy/compose/compose.yaml", "deploy/compose/small.yaml"]);
    run(schema)?;
    let mut hadolint = tool("hadolint");
    hadolint.args(files("Dockerfile*")?);
    run(hadolint)?;
    let mut shellcheck = tool("shellcheck");
    shellcheck.args(files("*.sh")?).arg(".ci/run");
    run(shellcheck)?;
    units()?;
    balancer()?;
    let mut build = cargo(["build", "--locked"]);
    for package in ["sso-server", "welcome", "loyalty"] {
        build.args(["--package", package]);
    }
    run(build)?;
    let mut tests = tool("python");
    tests
        .args(["-m", "unittest", "discover", "--start-directory"])
        .args(["deploy/tests", "--pattern", "*_test.py"])
        .env(
            "SSO_PROGRAMS",
            std::path::absolute(root().join("target/debug"))?,
        )
        .env("PYTHONDONTWRITEBYTECODE", "1");
    run(tests)
}

/// The environment of Python, made once and again when the list of what is in it changes.
fn ensure_tools() -> Result<PathBuf> {
    let list = root().join("deploy/tests/requirements.txt");
    let wanted = fs::read_to_string(&list)?;
    let list = std::path::absolute(list)?;
    let arguments = ["--requirement", &list.to_string_lossy()];
    registries::in_environment(TOOLS, &wanted, &arguments)
}

/// Files of the repository whose names fit.
fn files(name: &str) -> Result<Vec<String>> {
    let mut git = Command::new("git");
    git.args([
        "ls-files",
        "--cached",
        "--others",
        "--exclude-standard",
        "--",
    ])
    .arg(format!("**/{name}"))
    .current_dir(root());
    let list: Vec<String> = output(git)?.lines().map(str::to_owned).collect();
    if list.is_empty() {
        bail!("no {name} in the repository");
    }
    Ok(list)
}

/// How much of the machine a service could reach. Asked where there is systemd to ask.
fn units() -> Result<()> {
    if !works("systemd-analyze", "--version") {
        println!("systemd-analyze is not here: units are not looked at");
        return Ok(());
    }
    let mut analyze = Command::new("systemd-analyze");
    analyze
        .args([
            "security",
            "--no-pager",
            "--offline=true",
            "--threshold",
            EXPOSURE,
        ])
        .args(files("*.service")?)
        .current_dir(root())
        // Only the verdict, unless it is a bad one.
        .stdout(std::process::Stdio::null());
    run(analyze)
}

/// The compose file's balancer reads its configuration, except for names that only Docker knows.
fn balancer() -> Result<()> {
    // Not on everybody's PATH.
    let debian = Path::new("/usr/sbin/haproxy");
    let haproxy = if debian.exists() {
        debian
    } else {
        Path::new("haproxy")
    };
    let mut check = Command::new(haproxy);
    check
        .args(["-c", "-q", "-f"])
        .arg("deploy/compose/etc/haproxy.cfg")
        .current_dir(root());
    run(check)
}
