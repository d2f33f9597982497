//! What is shipped, built beside the tests.

use std::{
    env,
    fs::{self, File},
    path::PathBuf,
    process::{Child, Command},
};

use anyhow::{Context, Result, bail};

use crate::shell::shown;

/// A build that takes only the time that others leave: ten minutes of CI less.
pub(crate) struct Beside {
    child: Child,
    command: String,
    /// What it says; the tests have the terminal.
    log: PathBuf,
}

impl Beside {
    /// Begins to build what the tests of the shipped executable want.
    pub(crate) fn begin() -> Result<Self> {
        let log = super::folder()?.join("build.log");
        let file = File::create(&log)?;
        let mut command = Command::new("nice");
        command
            .args(["-n", "19"])
            .arg(env::current_exe()?)
            .args(["dist", "--for-tests"])
            .stdout(file.try_clone()?)
            .stderr(file);
        let shown = shown(&command);
        println!("$ {shown} > {} &", log.display());
        let child = command
            .spawn()
            .with_context(|| format!("cannot run {shown}"))?;
        Ok(Self {
            child,
            command: shown,
            log,
        })
    }

    /// Waits until it is built; if that fails, with what it said.
    pub(crate) fn end(mut self) -> Result<()> {
        println!("waiting for {}", self.command);
        let status = self.child.wait()?;
        if !status.success() {
            let said = fs::read_to_string(&self.log)?;
            bail!("{} ended with {status}:\n{said}", self.command);
        }
        Ok(())
    }
}
