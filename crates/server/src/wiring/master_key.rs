//! The master key: given by the configuration, or kept in a file of the data folder.
//!
//! Resealing replaces the file in three steps: the new key is written beside the old one, the
//! database commits, the new file takes the old one's name. Whoever finds that the old one does not
//! open what is stored tries the one beside it, so a crash between two steps loses nothing.

use std::{
    fmt,
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use sso_core::ports::{Random, RandomIds as _};
use sso_crypto::MasterKey;
use uuid::Uuid;

use crate::{
    config::Config,
    exit::{Exit, Failed},
};

/// Beside the embedded database, when the configuration names no key.
pub(super) const FILE: &str = "master.key";
/// The key that takes its place when the database is resealed under it.
const NEXT: &str = "master.key.next";
/// Held by who reseals.
const LOCK: &str = "reseal.lock";

/// Where the master key of this process comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// `keys.master_key`: it stays what it is until the next start.
    Setting,
    /// The file that `keys.master_key_file` names.
    SettingFile(PathBuf),
    /// The data folder.
    Folder(PathBuf),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Setting => f.write_str("keys.master_key"),
            Self::SettingFile(file) => write!(f, "keys.master_key_file, {}", file.display()),
            Self::Folder(folder) => folder.join(FILE).display().fmt(f),
        }
    }
}

impl Source {
    /// The keys that are there now, beside the one that was read at the start: somebody may have
    /// resealed. What cannot be read is none.
    pub(super) fn candidates(&self) -> Vec<MasterKey> {
        let files = match self {
            Self::Setting => Vec::new(),
            Self::SettingFile(file) => vec![file.clone()],
            Self::Folder(folder) => vec![folder.join(FILE), folder.join(NEXT)],
        };
        let read = |file: PathBuf| read(&file).ok();
        files.into_iter().filter_map(read).collect()
    }
}

/// The master key, and where it comes from. A new file is made only for a database that has no
/// keys yet: another master key would open nothing that is there.
pub(super) fn of(
    config: &Config,
    first: bool,
    random: &dyn Random,
) -> Result<(MasterKey, Source), Failed> {
    if let Some(key) = &config.keys.master_key {
        let file = config.keys.master_key_file.clone();
        let source = file.map_or(Source::Setting, Source::SettingFile);
        return Ok((key.key().clone(), source));
    }
    let folder = config.data_dir.clone();
    let file = folder.join(FILE);
    match read_or_make(&file, first, random) {
        Ok(text) => match MasterKey::from_base64(&text) {
            Ok(key) => Ok((key, Source::Folder(folder))),
            Err(error) => Err(Failed::new(
                Exit::Configuration,
                format!("{}: {error}", file.display()),
            )),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Failed::new(
            Exit::Configuration,
            format!(
                "the master key {} is gone, and without it the signing keys in the database cannot \
                 be opened: restore it, or set keys.master_key",
                file.display()
            ),
        )),
        Err(error) => Err(Failed::new(
            Exit::Configuration,
            format!("the master key {} cannot be read: {error}", file.display()),
        )),
    }
}

/// Reads a file with a master key.
pub(crate) fn read(file: &Path) -> Result<MasterKey, Failed> {
    let failed = |error: &dyn fmt::Display| {
        Failed::new(
            Exit::Failure,
            format!("the master key {}: {error}", file.display()),
        )
    };
    let text = fs::read_to_string(file).map(zeroize::Zeroizing::new);
    let text = text.map_err(|error| failed(&error))?;
    MasterKey::from_base64(&text).map_err(|error| failed(&error))
}

/// The key beside the master key, written by a reseal that may have been cut off.
pub(super) fn next(folder: &Path) -> Option<MasterKey> {
    read(&folder.join(NEXT)).ok()
}

/// Gives the key beside the master key its place, now that the database is sealed under it. If
/// somebody reseals this very moment, it is his to do.
pub(super) fn promote(folder: &Path) -> io::Result<()> {
    match lock(folder)? {
        Some(_held) => replace(folder),
        None => Ok(()),
    }
}

/// A new master key that lies beside the one in use. Nobody else reseals while it lives.
pub(crate) struct Staged {
    folder: PathBuf,
    _lock: File,
}

impl Staged {
    /// Writes `new` beside the master key in `folder`.
    pub(crate) fn write(folder: &Path, new: &MasterKey) -> Result<Self, Failed> {
        let failed = |error: &dyn fmt::Display| {
            let file = folder.join(NEXT);
            Failed::new(Exit::Failure, format!("{}: {error}", file.display()))
        };
        let lock = lock(folder).map_err(|error| failed(&error))?;
        let lock = lock.ok_or_else(|| failed(&"another reseal is under way"))?;
        let draft = folder.join(NEXT);
        remove(&draft).map_err(|error| failed(&error))?;
        write_new(&draft, new)
            .and_then(|()| sync(folder))
            .map_err(|error| failed(&error))?;
        Ok(Self {
            folder: folder.to_owned(),
            _lock: lock,
        })
    }

    /// The database is sealed under it: it takes the old one's place.
    pub(crate) fn finish(self) -> io::Result<()> {
        replace(&self.folder)
    }
}

/// `None`: somebody else holds it.
fn lock(folder: &Path) -> io::Result<Option<File>> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(folder.join(LOCK))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn replace(folder: &Path) -> io::Result<()> {
    match fs::rename(folder.join(NEXT), folder.join(FILE)) {
        // Somebody else has done it.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done
            .and_then(|()| remove_drafts(folder))
            .and_then(|()| sync(folder)),
    }
}

/// Removes what first starts left that were cut off: it may be the key that was replaced.
fn remove_drafts(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let draft = name.and_then(|name| name.strip_prefix(FILE)?.strip_prefix('.'));
        if draft.is_some_and(|id| Uuid::try_parse(id).is_ok()) {
            remove(&path)?;
        }
    }
    Ok(())
}

fn read_or_make(
    file: &Path,
    first: bool,
    random: &dyn Random,
) -> io::Result<zeroize::Zeroizing<String>> {
    match fs::read_to_string(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && first => {}
        read => return read.map(zeroize::Zeroizing::new),
    }
    // Written beside and then linked: nobody ever reads half a key, and of two the first wins. Under a name of
    // its own: first processes of containers have one number, and one that was cut off here leaves its.
    let draft = file.with_extension(format!("key.{}", random.uuid_v4().simple()));
    let linked = write_new(&draft, &MasterKey::generate(random)).and_then(|()| link(&draft, file));
    linked.and(remove(&draft))?;
    // It must be there for as long as what is sealed under it.
    sync(file.parent().unwrap_or(file))?;
    fs::read_to_string(file).map(zeroize::Zeroizing::new)
}

/// Gives the draft the file's name, unless somebody else's has it already.
fn link(draft: &Path, file: &Path) -> io::Result<()> {
    match fs::hard_link(draft, file) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        linked => linked,
    }
}

/// Removes a file that need not be there.
fn remove(file: &Path) -> io::Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

fn write_new(file: &Path, key: &MasterKey) -> io::Result<()> {
    let mut new = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file)?;
    let line = zeroize::Zeroizing::new(format!("{}\n", *key.to_base64()));
    new.write_all(line.as_bytes())?;
    new.sync_all()
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use sso_crypto::SystemRandom;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name();
        let names = entries.map(|entry| name(entry).into_string().unwrap());
        names.collect()
    }

    #[test]
    fn a_first_start_that_was_cut_off_does_not_hinder_the_next_one() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(FILE);
        let left = "master.key.1";
        fs::write(folder.path().join(left), "half a k").unwrap();
        let made = read_or_make(&file, true, &SystemRandom).unwrap();
        assert!(MasterKey::from_base64(&made).is_ok());
        let mut names = names(folder.path());
        names.sort_unstable();
        assert_eq!(names, [FILE, left]);
        let read = read_or_make(&file, false, &SystemRandom).unwrap();
        assert_eq!(*read, *made);
    }

    #[test]
    fn what_a_first_start_left_goes_with_the_key() {
        let folder = tempfile::tempdir().unwrap();
        let draft = format!("{FILE}.{}", SystemRandom.uuid_v4().simple());
        for name in [FILE, NEXT, &draft, "master.key.old"] {
            fs::write(folder.path().join(name), name).unwrap();
        }
        replace(folder.path()).unwrap();
        let mut names = names(folder.path());
        names.sort_unstable();
        assert_eq!(names, [FILE, "master.key.old"]);
    }

    #[test]
    fn of_two_first_keys_the_first_stays() {
        let folder = tempfile::tempdir().unwrap();
        let (file, draft) = (folder.path().join(FILE), folder.path().join("draft"));
        fs::write(&file, "first").unwrap();
        fs::write(&draft, "second").unwrap();
        link(&draft, &file).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "first");
    }
}
