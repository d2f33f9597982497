//! How far an import came, so that it can go on there.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::report::Counts;

/// The state in the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    /// Of the input: it must be the same one.
    pub(super) digest: String,
    /// Every line up to this one is done.
    pub(super) line: u64,
    /// Up to there.
    pub(super) counts: Counts,
}

/// A file that is replaced after each batch.
pub(super) struct Checkpoint(Option<PathBuf>);

impl Checkpoint {
    pub(super) const fn new(file: Option<PathBuf>) -> Self {
        Self(file)
    }

    /// Where an earlier import of the same input stopped; `Err` if the file is of another input.
    pub(super) fn load(&self, digest: &str) -> Result<Option<State>, String> {
        let Some(path) = &self.0 else {
            return Ok(None);
        };
        let text = match fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(format!("{}: {error}", path.display())),
        };
        let state: State = serde_json::from_slice(&text)
            .map_err(|_| format!("{} is not a checkpoint of an import", path.display()))?;
        if state.digest == digest {
            Ok(Some(state))
        } else {
            Err(format!(
                "{} is of another input: give the same one, or another checkpoint",
                path.display()
            ))
        }
    }

    pub(super) fn save(&self, state: &State) -> io::Result<()> {
        let Some(path) = &self.0 else {
            return Ok(());
        };
        let draft = draft(path);
        let mut file = File::create(&draft)?;
        serde_json::to_writer(&mut file, state)?;
        file.flush()?;
        fs::rename(draft, path)
    }

    /// The import is done.
    pub(super) fn remove(&self) {
        if let Some(path) = &self.0 {
            let _ = fs::remove_file(path);
        }
    }
}

fn draft(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    name.into()
}
