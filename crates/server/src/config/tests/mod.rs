//! The configuration as operators write it: files, variables and flags in, values or problems out.

mod callers;
mod database;
mod development;
mod events;
mod manual;
mod problems;
mod secrets;
mod sources;

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use insta::assert_snapshot;
use tempfile::TempDir;

use sso_config::{Catalogue, Origin, Raw};

use super::*;

/// 32 bytes in base64; recognisable where it must not appear.
const KEY: &str = "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2U=";

/// A folder with files, and what to load from.
struct Given {
    folder: TempDir,
    sources: Sources,
}

fn nothing() -> Given {
    Given {
        folder: tempfile::tempdir().unwrap(),
        sources: Sources::default(),
    }
}

fn file(text: &str) -> Given {
    let mut given = nothing();
    given.sources.file = Some(given.write("sso.toml", text));
    given
}

impl Given {
    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        path
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn env(mut self, name: &str, value: impl AsRef<Path>) -> Self {
        let value = value.as_ref().as_os_str().to_owned();
        self.sources.env.push((name.into(), value));
        self
    }

    fn flag(mut self, key: &str, value: &str) -> Self {
        self.sources.flags.push((key.to_owned(), value.to_owned()));
        self
    }

    fn dev(mut self) -> Self {
        self.sources.dev = true;
        self
    }

    fn load(&self) -> Result<Loaded, Problems> {
        load(self.sources.clone())
    }

    fn good(&self) -> Loaded {
        self.load().unwrap_or_else(|problems| panic!("{problems}"))
    }

    /// What is printed, with the folder's name left out.
    fn problems(&self) -> String {
        let folder = format!("{}/", self.folder.path().display());
        self.load().unwrap_err().to_string().replace(&folder, "")
    }
}
