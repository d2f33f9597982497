//! What the commands need beside rustup, a C compiler and make: installed where that is allowed,
//! else named.

use std::process::Command;

use anyhow::{Result, bail};

use crate::shell::{cargo, root, run, works};

/// The version that `deny.toml` was written for.
const CARGO_DENY: &str = "0.20.2";

/// The newest version that Go's tools install without a checkout.
const H2SPEC: &str = "github.com/summerwind/h2spec/cmd/h2spec@v2.2.1+incompatible";

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

/// Installs Debian packages.
pub(crate) fn install(packages: &[&str]) -> Result<()> {
    run(apt(&["update", "-qq"]))?;
    let mut install = apt(&["install", "-y", "-qq", "--no-install-recommends"]);
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
