//! The key ring.
//!
//! There is one writer: what a transaction reads here nobody changes before it commits.

use async_trait::async_trait;
use rusqlite::{Connection, named_params};
use sso_core::ports::{
    StoreError,
    store::{KeyStore, KeyWrites, RETIRED_KEYS_KEPT, RetiredKey, Retirement, SealedKey},
};
use time::OffsetDateTime;

use crate::{
    codec::{self, micros},
    fault::Fault,
    query::{all, execute, first, one, scalar},
    store::SqliteStore,
    tx::SqliteTx,
};

const ALL: &str = "SELECT * FROM keys ORDER BY created_at, id";

const INSERT: &str = "
    INSERT INTO keys (id, usage, algorithm, sealed, created_at, signs_from)
    VALUES (:id, :usage, :algorithm, :sealed, :created_at, :signs_from)";

const WAS_RETIRED: &str = "SELECT count(*) FROM retired_keys WHERE id = :id";

const REMOVE: &str = "
    DELETE FROM keys
    WHERE id = :id AND EXISTS (
        SELECT 1 FROM keys AS other
        WHERE other.usage = keys.usage AND other.id <> keys.id AND other.signs_from <= :now)
    RETURNING *";

const EXISTS: &str = "SELECT count(*) FROM keys WHERE id = :id";

const REMEMBER: &str = "
    INSERT INTO retired_keys (id, usage, algorithm, created_at, signs_from, retired_at)
    VALUES (:id, :usage, :algorithm, :created_at, :signs_from, :retired_at)
    RETURNING *";

const FORGET: &str = "
    DELETE FROM retired_keys WHERE id IN (
        SELECT id FROM retired_keys ORDER BY retired_at DESC, id DESC LIMIT -1 OFFSET :kept)";

const RETIRED: &str = "SELECT * FROM retired_keys ORDER BY retired_at DESC, id DESC LIMIT :limit";

const RESEAL: &str = "UPDATE keys SET sealed = :sealed WHERE id = :id";

#[cfg(test)]
pub(crate) const STATEMENTS: &[&str] = &[
    ALL,
    INSERT,
    WAS_RETIRED,
    REMOVE,
    EXISTS,
    REMEMBER,
    FORGET,
    RETIRED,
    RESEAL,
];

fn keys(connection: &Connection) -> Result<Vec<SealedKey>, Fault> {
    all(connection, ALL, [], codec::key)
}

fn insert(connection: &Connection, key: &SealedKey) -> Result<(), Fault> {
    let params = named_params! {
        ":id": key.id,
        ":usage": key.usage.as_str(),
        ":algorithm": key.algorithm,
        ":sealed": key.sealed,
        ":created_at": micros(key.created_at),
        ":signs_from": micros(key.signs_from),
    };
    execute(connection, INSERT, params).map(|_| ())
}

/// Whether there is, or was, a row of this id; `sql` says where.
fn has(connection: &Connection, sql: &'static str, id: &str) -> Result<bool, Fault> {
    let count: i64 = one(connection, sql, named_params! {":id": id}, scalar)?;
    Ok(count > 0)
}

fn insert_first(
    connection: &Connection,
    first_keys: &[SealedKey],
) -> Result<Vec<SealedKey>, Fault> {
    let stored = keys(connection)?;
    if !stored.is_empty() {
        return Ok(stored);
    }
    for key in first_keys {
        insert(connection, key)?;
    }
    keys(connection)
}

fn insert_more(
    connection: &Connection,
    new: &[SealedKey],
    seen: &[SealedKey],
) -> Result<bool, Fault> {
    if keys(connection)? != seen {
        return Ok(false);
    }
    for key in new {
        if has(connection, WAS_RETIRED, &key.id)? {
            return Ok(false);
        }
    }
    for key in new {
        insert(connection, key)?;
    }
    Ok(true)
}

fn retire(connection: &Connection, id: &str, now: OffsetDateTime) -> Result<Retirement, Fault> {
    let params = named_params! {":id": id, ":now": micros(now)};
    let Some(key) = first(connection, REMOVE, params, codec::key)? else {
        return Ok(if has(connection, EXISTS, id)? {
            Retirement::Last
        } else {
            Retirement::Unknown
        });
    };
    let params = named_params! {
        ":id": key.id,
        ":usage": key.usage.as_str(),
        ":algorithm": key.algorithm,
        ":created_at": micros(key.created_at),
        ":signs_from": micros(key.signs_from),
        ":retired_at": micros(now),
    };
    let retired = one(connection, REMEMBER, params, codec::retired_key)?;
    execute(
        connection,
        FORGET,
        named_params! {":kept": RETIRED_KEYS_KEPT},
    )?;
    Ok(Retirement::Retired(retired))
}

fn reseal(
    connection: &Connection,
    resealed: &[SealedKey],
    seen: &[SealedKey],
) -> Result<bool, Fault> {
    if keys(connection)? != seen {
        return Ok(false);
    }
    for key in resealed {
        let params = named_params! {":id": key.id, ":sealed": key.sealed};
        execute(connection, RESEAL, params)?;
    }
    Ok(true)
}

#[async_trait]
impl KeyStore for SqliteStore {
    /// By the thread that listens for news: it is asked twice a second, and no read of a request.
    async fn keys(&self) -> Result<Vec<SealedKey>, StoreError> {
        self.shared.feed.read(keys).await
    }

    async fn retired_keys(&self, limit: u32) -> Result<Vec<RetiredKey>, StoreError> {
        self.read(move |connection| {
            let params = named_params! {":limit": limit};
            all(connection, RETIRED, params, codec::retired_key)
        })
        .await
    }

    async fn insert_first_keys(&self, keys: &[SealedKey]) -> Result<Vec<SealedKey>, StoreError> {
        let keys = keys.to_vec();
        self.write(move |connection| insert_first(connection, &keys))
            .await
    }
}

#[async_trait]
impl KeyWrites for SqliteTx {
    async fn insert_keys(
        &mut self,
        new: &[SealedKey],
        seen: &[SealedKey],
    ) -> Result<bool, StoreError> {
        let (new, seen) = (new.to_vec(), seen.to_vec());
        self.step(move |connection| insert_more(connection, &new, &seen))
            .await
    }

    async fn retire_key(
        &mut self,
        id: &str,
        now: OffsetDateTime,
    ) -> Result<Retirement, StoreError> {
        let id = id.to_owned();
        self.step(move |connection| retire(connection, &id, now))
            .await
    }

    async fn reseal_keys(
        &mut self,
        resealed: &[SealedKey],
        seen: &[SealedKey],
    ) -> Result<bool, StoreError> {
        let (resealed, seen) = (resealed.to_vec(), seen.to_vec());
        self.step(move |connection| reseal(connection, &resealed, &seen))
            .await
    }
}
