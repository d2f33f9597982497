//! Is the database file whole?

use std::{io, path::Path};

use rusqlite::Connection;

use crate::{
    OpenError, connection,
    fault::Fault,
    folder::Folder,
    query::{all, scalar},
};

/// Everything but whether indexes match their tables; bounded in what it tells.
const QUICK_CHECK: &str = "PRAGMA quick_check(10)";
const FOREIGN_KEYS: &str = "PRAGMA foreign_key_check";

/// What is damaged in the database of `folder`, at most about ten sentences; empty if it is whole.
/// Reads the whole file and changes nothing; works beside a server.
pub fn check_integrity(folder: &Path) -> Result<Vec<String>, OpenError> {
    let file = Folder::at(folder).database();
    let of = |fault| OpenError::of(file.clone(), fault);
    let connection = connection::reader(&file).map_err(of)?;
    let mut damage = quick_check(&connection).map_err(of)?;
    damage.retain(|line| line != "ok");
    let orphans = all(&connection, FOREIGN_KEYS, [], scalar::<String>).map_err(of)?;
    if let Some(table) = orphans.first() {
        damage.push(format!(
            "{} rows of {table} belong to nobody",
            orphans.len()
        ));
    }
    Ok(damage)
}

fn quick_check(connection: &Connection) -> Result<Vec<String>, Fault> {
    all(connection, QUICK_CHECK, [], scalar)
}

/// Whether a server runs on `folder`; an error if this user may not look.
pub fn is_served(folder: &Path) -> io::Result<bool> {
    Folder::at(folder).is_served()
}
