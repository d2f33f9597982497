//! How long tokens have been made to live.

use std::time::Duration;

use async_trait::async_trait;
use sso_core::ports::{StoreError, store::LifeWrites};

use crate::{codec, error::Fault, tx::PostgresTx};

const REMEMBER: &str = "
    INSERT INTO token_lives (kind, longest) VALUES ('access', $1)
    ON CONFLICT (kind) DO UPDATE SET longest = greatest(token_lives.longest, excluded.longest)
    RETURNING longest";

/// A statement of its own, so that it sees what was committed until now.
const LONGEST: &str = "SELECT coalesce(max(longest), 0) FROM token_lives WHERE kind = 'access'";

#[cfg(test)]
pub(crate) const STATEMENTS: &[&str] = &[REMEMBER, LONGEST];

fn life(micros: i64) -> Duration {
    Duration::from_micros(micros.unsigned_abs())
}

#[async_trait]
impl LifeWrites for PostgresTx {
    async fn remember_access_life(&mut self, new: Duration) -> Result<Duration, StoreError> {
        self.durable = true;
        let new = i64::try_from(new.as_micros()).unwrap_or(i64::MAX);
        let longest = self.first(REMEMBER, &[&new], codec::scalar).await?;
        longest
            .map(life)
            .ok_or_else(|| Fault::Undecodable("the longest life").into())
    }

    async fn longest_access_life(&mut self) -> Result<Duration, StoreError> {
        let longest = self.first(LONGEST, &[], codec::scalar).await?;
        Ok(longest.map(life).unwrap_or_default())
    }
}
