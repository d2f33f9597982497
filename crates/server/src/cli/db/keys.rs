//! The signing keys among the rows: they are sealed, and must open where they come to.

use std::sync::Arc;

use sso_core::ports::{
    KeySealer,
    dump::{Cell, Row},
    store::{KeyUse, SealedKey},
};
use sso_crypto::{KeyRing, MasterKey, Resealer, SystemRandom};

use crate::{
    exit::{Exit, Failed},
    wiring::MasterKeys,
};

/// Which cell of a key holds its sealed part.
const SEALED: usize = 3;

/// The keys of these rows.
pub(super) fn keys(rows: &[Row]) -> Result<Vec<SealedKey>, Failed> {
    let damaged = || Failed::new(Exit::DataDamaged, "a stored signing key cannot be read");
    rows.iter()
        .map(|row| key(row).ok_or_else(damaged))
        .collect()
}

fn key(row: &Row) -> Option<SealedKey> {
    let [
        Cell::Text(id),
        Cell::Text(usage),
        Cell::Text(algorithm),
        Cell::Bytes(sealed),
        Cell::Time(created_at),
        Cell::Time(signs_from),
    ] = &row.0[..]
    else {
        return None;
    };
    Some(SealedKey {
        id: id.clone(),
        usage: KeyUse::ALL
            .into_iter()
            .find(|known| known.as_str() == usage)?,
        algorithm: algorithm.clone(),
        sealed: sealed.clone(),
        created_at: *created_at,
        signs_from: *signs_from,
    })
}

/// The same rows, sealed under the master key of the new site.
pub(super) fn resealed(rows: Vec<Row>, master: &MasterKeys) -> Result<Vec<Row>, Failed> {
    let Some(new) = &master.new else {
        return Ok(rows);
    };
    let sealer = Resealer {
        old: Arc::new(master.old.clone()),
        new: Arc::new(new.clone()),
        random: Arc::new(SystemRandom),
    };
    let sealed = sealer
        .reseal(&keys(&rows)?)
        .map_err(|error| Failed::from_error(Exit::DataDamaged, &error))?;
    let both = rows.into_iter().zip(sealed);
    Ok(both
        .map(|(mut row, key)| {
            if let Some(cell) = row.0.get_mut(SEALED) {
                *cell = Cell::Bytes(key.sealed);
            }
            row
        })
        .collect())
}

/// Fails unless what came opens under the master key of the new site.
pub(super) fn require_open(rows: &[Row], master: &MasterKeys) -> Result<(), Failed> {
    let new: &MasterKey = master.new.as_ref().unwrap_or(&master.old);
    match KeyRing::open(&keys(rows)?, new) {
        Ok(_) => Ok(()),
        Err(error) => Err(Failed::new(
            Exit::Failure,
            format!(
                "the keys that an earlier try has copied do not open ({error}): give the same \
                 --master-key-file as then, or make the database anew and copy again"
            ),
        )),
    }
}
