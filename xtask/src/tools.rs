//! What the commands need beside rustup, a C compiler and make: installed where that is allowed,
//! else named.

use std::process::Command;

use anyhow::{Result, bail};

use crate::shell::{cargo, run, works};

/// The version that `deny.toml` was written for.
const CARGO_DENY: &str = "0.20.2";

/// Chromium and its driver, for the tests of the Swagger pages.
pub(crate) fn ensure_browser() -> Result<()> {
    if works("chromedriver", "--version") && works("chromium", "--version") {
        return Ok(());
    }
    if works("apt-get", "--version") && is_root() {
        run(apt(&["update", "-qq"]))?;
        let packages = [
            "install",
            "-y",
            "-qq",
            "--no-install-recommends",
            "chromium",
            "chromium-driver",
        ];
        return run(apt(&packages));
    }
    bail!(
        "the tests of the Swagger pages need chromium and chromedriver: apt install chromium chromium-driver"
    )
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
