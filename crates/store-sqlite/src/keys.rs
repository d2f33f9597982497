//! The key ring.

use async_trait::async_trait;
use rusqlite::{Connection, named_params};
use sso_core::ports::{
    StoreError,
    store::{KeyStore, SealedKey},
};

use crate::{
    codec::{self, micros},
    fault::Fault,
    query::{all, execute},
    store::SqliteStore,
};

const ALL: &str = "SELECT * FROM keys ORDER BY created_at, id";

const INSERT: &str = "
    INSERT INTO keys (id, usage, algorithm, sealed, created_at, signs_from)
    VALUES (:id, :usage, :algorithm, :sealed, :created_at, :signs_from)";

#[cfg(test)]
pub(crate) const STATEMENTS: &[&str] = &[ALL, INSERT];

fn keys(connection: &Connection) -> Result<Vec<SealedKey>, Fault> {
    all(connection, ALL, [], codec::key)
}

/// There is one writer: what it reads here nobody changes before it commits.
fn insert_first(connection: &Connection, first: &[SealedKey]) -> Result<Vec<SealedKey>, Fault> {
    let stored = keys(connection)?;
    if !stored.is_empty() {
        return Ok(stored);
    }
    for key in first {
        let params = named_params! {
            ":id": key.id,
            ":usage": key.usage.as_str(),
            ":algorithm": key.algorithm,
            ":sealed": key.sealed,
            ":created_at": micros(key.created_at),
            ":signs_from": micros(key.signs_from),
        };
        execute(connection, INSERT, params)?;
    }
    keys(connection)
}

#[async_trait]
impl KeyStore for SqliteStore {
    async fn keys(&self) -> Result<Vec<SealedKey>, StoreError> {
        self.read(keys).await
    }

    async fn insert_first_keys(&self, keys: &[SealedKey]) -> Result<Vec<SealedKey>, StoreError> {
        let keys = keys.to_vec();
        self.write(move |connection| insert_first(connection, &keys))
            .await
    }
}
