//! What other instances revoke: by leases; for a store without any by plain reads, which never say
//! that anybody else obeys.

use std::{sync::PoisonError, time::Duration};

use async_trait::async_trait;
use sso_core::ports::{
    StoreError,
    store::{Answer, Question, Reach, Revocation, RevocationFeed},
};

use crate::{
    codec::{self, Columns, revocation_columns},
    error::Fault,
    query::{all, one},
    store::PostgresStore,
};

/// The snapshot that is returned is the one of the statement.
const SNAPSHOT: &str = "SELECT pg_current_snapshot()::text, current_timeline()";

const NEWS: &str = concat!(
    "SELECT ",
    revocation_columns!(),
    " FROM revocations r
     WHERE r.until >= $2 AND pg_visible_in_snapshot(r.xid, $3::text::pg_snapshot)
       AND ($1::text IS NULL OR NOT pg_visible_in_snapshot(r.xid, $1::text::pg_snapshot))
     ORDER BY r.id"
);

#[cfg(test)]
pub(crate) const STATEMENTS: &[&str] = &[SNAPSHOT, NEWS];

fn snapshot(columns: &mut Columns<'_>) -> Result<(String, i64), Fault> {
    Ok((columns.take("snapshot")?, columns.take("timeline")?))
}

#[async_trait]
impl RevocationFeed for PostgresStore {
    async fn beat(&self, question: Question<'_>) -> Result<Answer, StoreError> {
        if let Some(leases) = self.shared.leases.get() {
            return leases.beat(question).await;
        }
        let now = question.now;
        let heard = || self.shared.heard.lock();
        let last = heard().unwrap_or_else(PoisonError::into_inner).clone();
        let (current, timeline) = one(&self.again(SNAPSHOT, &[]).await?, snapshot)?;
        let rows = self.again(NEWS, &[&last, &now, &current]).await?;
        let entries = all(&rows, codec::revocation)?;
        let answer = Answer {
            entries,
            timeline: u32::try_from(timeline).map_err(StoreError::corrupt)?,
            snapshot: current.parse().map_err(StoreError::corrupt)?,
        };
        *heard().unwrap_or_else(PoisonError::into_inner) = Some(current);
        Ok(answer)
    }

    async fn acknowledged(
        &self,
        revocation: &Revocation,
        wait: Duration,
    ) -> Result<Reach, StoreError> {
        match self.shared.leases.get() {
            Some(leases) => leases.acknowledged(revocation, wait).await,
            None => Ok(Reach::Pending),
        }
    }

    async fn leave(&self) -> Result<(), StoreError> {
        match self.shared.leases.get() {
            Some(leases) => leases.leave().await,
            None => Ok(()),
        }
    }
}
