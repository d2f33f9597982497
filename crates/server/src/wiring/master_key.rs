//! The master key: given by the configuration, or kept in a file of the data folder.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use sso_core::ports::Random;
use sso_crypto::MasterKey;

use crate::{
    config::Config,
    exit::{Exit, Failed},
};

/// Beside the embedded database, when the configuration names no key.
pub(super) const FILE: &str = "master.key";

/// The master key, and where it comes from. A new file is made only for a database that has no
/// keys yet: another master key would open nothing that is there.
pub(super) fn of(
    config: &Config,
    first: bool,
    random: &dyn Random,
) -> Result<(MasterKey, String), Failed> {
    if let Some(key) = &config.keys.master_key {
        return Ok((
            MasterKey::from_bytes(key.bytes()),
            "keys.master_key".to_owned(),
        ));
    }
    let file = config.data_dir.join(FILE);
    match read_or_make(&file, first, random) {
        Ok(text) => match MasterKey::from_base64(&text) {
            Ok(key) => Ok((key, file.display().to_string())),
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

fn read_or_make(file: &Path, first: bool, random: &dyn Random) -> io::Result<String> {
    match fs::read_to_string(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && first => {}
        read => return read,
    }
    let text = MasterKey::generate(random).to_base64();
    // Written beside and then linked: nobody ever reads half a key, and of two the first wins.
    let draft = file.with_extension(format!("key.{}", std::process::id()));
    let mut new = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&draft)?;
    let linked = new
        .write_all(format!("{}\n", *text).as_bytes())
        .and_then(|()| new.sync_all())
        .and_then(|()| fs::hard_link(&draft, file));
    fs::remove_file(&draft)?;
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    // It must be there for as long as what is sealed under it.
    fs::File::open(file.parent().unwrap_or(file))?.sync_all()?;
    fs::read_to_string(file)
}
