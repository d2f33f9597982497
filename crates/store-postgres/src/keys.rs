//! The key ring.
//!
//! Whoever changes it locks the table against others who do: what he read nobody changes before he
//! commits. Readers do not wait.

use async_trait::async_trait;
use sso_core::ports::{
    StoreError, Tx,
    store::{KeyStore, KeyWrites, RETIRED_KEYS_KEPT, RetiredKey, Retirement, SealedKey},
};
use time::OffsetDateTime;

use crate::{
    codec::{self, key_columns, retired_key_columns},
    query,
    store::PostgresStore,
    tx::PostgresTx,
};

const LOCK: &str = "LOCK TABLE keys IN SHARE ROW EXCLUSIVE MODE";

const ALL: &str = concat!(
    "SELECT ",
    key_columns!(),
    " FROM keys k ORDER BY k.created_at, k.id"
);

const INSERT: &str = "
    INSERT INTO keys (id, usage, algorithm, sealed, created_at, signs_from)
    VALUES ($1, $2, $3, $4, $5, $6)";

const WAS_RETIRED: &str = "SELECT EXISTS (SELECT 1 FROM retired_keys WHERE id = ANY ($1))";

const REMOVE: &str = concat!(
    "DELETE FROM keys k
     WHERE k.id = $1 AND EXISTS (
         SELECT 1 FROM keys other
         WHERE other.usage = k.usage AND other.id <> k.id AND other.signs_from <= $2)
     RETURNING ",
    key_columns!()
);

const EXISTS: &str = "SELECT EXISTS (SELECT 1 FROM keys WHERE id = $1)";

const REMEMBER: &str = concat!(
    "INSERT INTO retired_keys AS r (id, usage, algorithm, created_at, signs_from, retired_at)
     VALUES ($1, $2, $3, $4, $5, $6)
     RETURNING ",
    retired_key_columns!()
);

const FORGET: &str = "
    DELETE FROM retired_keys WHERE id = ANY (ARRAY(
        SELECT id FROM retired_keys ORDER BY retired_at DESC, id DESC OFFSET $1))";

const RETIRED: &str = concat!(
    "SELECT ",
    retired_key_columns!(),
    " FROM retired_keys r ORDER BY r.retired_at DESC, r.id DESC LIMIT $1"
);

const RESEAL: &str = "UPDATE keys SET sealed = $2 WHERE id = $1";

#[cfg(test)]
pub(crate) const STATEMENTS: &[&str] = &[
    LOCK,
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

impl PostgresTx {
    /// The ring, which nobody else changes before this transaction ends.
    async fn locked_ring(&mut self) -> Result<Vec<SealedKey>, StoreError> {
        self.durable = true;
        self.execute(LOCK, &[]).await?;
        self.all(ALL, &[], codec::key).await
    }

    async fn insert_key(&mut self, key: &SealedKey) -> Result<(), StoreError> {
        self.execute(
            INSERT,
            &[
                &key.id,
                &key.usage.as_str(),
                &key.algorithm,
                &key.sealed,
                &key.created_at,
                &key.signs_from,
            ],
        )
        .await
    }

    async fn is(
        &mut self,
        sql: &'static str,
        params: query::Params<'_>,
    ) -> Result<bool, StoreError> {
        let answer = self.first(sql, params, codec::scalar).await?;
        Ok(answer == Some(true))
    }
}

#[async_trait]
impl KeyStore for PostgresStore {
    /// It is asked twice a second and is no read of a request: it does not count as one.
    async fn keys(&self) -> Result<Vec<SealedKey>, StoreError> {
        let rows = self.again(ALL, &[]).await?;
        Ok(query::all(&rows, codec::key)?)
    }

    async fn retired_keys(&self, limit: u32) -> Result<Vec<RetiredKey>, StoreError> {
        self.read_all(RETIRED, &[&i64::from(limit)], codec::retired_key)
            .await
    }

    async fn insert_first_keys(&self, keys: &[SealedKey]) -> Result<Vec<SealedKey>, StoreError> {
        let mut tx = self.transaction().await?;
        let stored = tx.locked_ring().await?;
        if !stored.is_empty() {
            return Ok(stored);
        }
        for key in keys {
            tx.insert_key(key).await?;
        }
        let stored = tx.all(ALL, &[], codec::key).await?;
        Box::new(tx).commit().await?;
        Ok(stored)
    }
}

#[async_trait]
impl KeyWrites for PostgresTx {
    async fn insert_keys(
        &mut self,
        new: &[SealedKey],
        seen: &[SealedKey],
    ) -> Result<bool, StoreError> {
        if self.locked_ring().await? != seen {
            return Ok(false);
        }
        let ids: Vec<_> = new.iter().map(|key| key.id.as_str()).collect();
        if self.is(WAS_RETIRED, &[&ids]).await? {
            return Ok(false);
        }
        for key in new {
            self.insert_key(key).await?;
        }
        Ok(true)
    }

    async fn retire_key(
        &mut self,
        id: &str,
        now: OffsetDateTime,
    ) -> Result<Retirement, StoreError> {
        self.durable = true;
        self.execute(LOCK, &[]).await?;
        let Some(key) = self.first(REMOVE, &[&id, &now], codec::key).await? else {
            return Ok(if self.is(EXISTS, &[&id]).await? {
                Retirement::Last
            } else {
                Retirement::Unknown
            });
        };
        let rows = self
            .rows(
                REMEMBER,
                &[
                    &key.id,
                    &key.usage.as_str(),
                    &key.algorithm,
                    &key.created_at,
                    &key.signs_from,
                    &now,
                ],
            )
            .await?;
        let retired = query::one(&rows, codec::retired_key)?;
        self.execute(FORGET, &[&i64::from(RETIRED_KEYS_KEPT)])
            .await?;
        Ok(Retirement::Retired(retired))
    }

    async fn reseal_keys(
        &mut self,
        resealed: &[SealedKey],
        seen: &[SealedKey],
    ) -> Result<bool, StoreError> {
        if self.locked_ring().await? != seen {
            return Ok(false);
        }
        for key in resealed {
            self.execute(RESEAL, &[&key.id, &key.sealed]).await?;
        }
        Ok(true)
    }
}
