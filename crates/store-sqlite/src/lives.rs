//! How long tokens have been made to live.

use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Connection, named_params};
use sso_core::ports::{StoreError, store::LifeWrites};

use crate::{
    fault::Fault,
    query::{one, scalar},
    tx::SqliteTx,
};

const REMEMBER: &str = "
    INSERT INTO token_lives (kind, longest) VALUES ('access', :life)
    ON CONFLICT (kind) DO UPDATE SET longest = max(longest, excluded.longest)
    RETURNING longest";

const LONGEST: &str = "SELECT coalesce(max(longest), 0) FROM token_lives WHERE kind = 'access'";

#[cfg(test)]
pub(crate) const STATEMENTS: &[&str] = &[REMEMBER, LONGEST];

fn micros(life: Duration) -> i64 {
    i64::try_from(life.as_micros()).unwrap_or(i64::MAX)
}

fn life(micros: i64) -> Duration {
    Duration::from_micros(micros.unsigned_abs())
}

pub(crate) fn longest(connection: &Connection) -> Result<Duration, Fault> {
    one(connection, LONGEST, [], scalar).map(life)
}

#[async_trait]
impl LifeWrites for SqliteTx {
    async fn remember_access_life(&mut self, new: Duration) -> Result<Duration, StoreError> {
        let new = micros(new);
        self.step(move |connection| {
            let params = named_params! {":life": new};
            one(connection, REMEMBER, params, scalar).map(life)
        })
        .await
    }

    async fn longest_access_life(&mut self) -> Result<Duration, StoreError> {
        self.step(longest).await
    }
}
