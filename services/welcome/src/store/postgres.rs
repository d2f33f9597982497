//! In PostgreSQL, shared by all instances.

use std::time::Duration;

use async_trait::async_trait;
use sso_service::database::{StoreError, postgres::Postgres};
use uuid::Uuid;

use super::{Claim, Mail, Store};

pub(super) struct InPostgres(pub(super) Postgres);

const CLAIM: &str = "
    INSERT INTO mails (event_id, user_id, claimed_by, claimed_until)
    VALUES ($1, $2, $3, now() + $4 * interval '1 second')
    ON CONFLICT (event_id) DO UPDATE
    SET claimed_by = excluded.claimed_by, claimed_until = excluded.claimed_until
    WHERE mails.sent_at IS NULL
        AND (mails.claimed_until <= now() OR mails.claimed_by = excluded.claimed_by)
    RETURNING true";
const LOOK: &str = "
    SELECT sent_at IS NOT NULL, extract(epoch FROM claimed_until - now())::float8
    FROM mails WHERE event_id = $1";
/// The claim may have been lost in a failover.
const SENT: &str = "
    INSERT INTO mails (event_id, user_id, claimed_by, claimed_until, sent_at)
    VALUES ($1, $2, $3, now(), now())
    ON CONFLICT (event_id) DO UPDATE SET sent_at = excluded.sent_at WHERE mails.sent_at IS NULL";
const RELEASE: &str = "
    UPDATE mails SET claimed_until = 'epoch'
    WHERE event_id = $1 AND claimed_by = $2 AND sent_at IS NULL";
const FORGET: &str = "UPDATE mails SET user_id = NULL WHERE user_id = $1";
const CLEAN: &str = "
    DELETE FROM mails WHERE event_id IN
        (SELECT event_id FROM mails WHERE noted_at < now() - $1 * interval '1 second'
         ORDER BY noted_at LIMIT $2 FOR UPDATE SKIP LOCKED)";

#[async_trait]
impl Store for InPostgres {
    async fn claim(&self, mail: Mail, by: Uuid, hold: Duration) -> Result<Claim, StoreError> {
        let client = self.0.get().await?;
        let claim = client.prepare_cached(CLAIM).await?;
        let hold = hold.as_secs_f64();
        let values: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
            [&mail.event, &mail.user, &by, &hold];
        if client.query_opt(&claim, &values).await?.is_some() {
            return Ok(Claim::Granted);
        }
        let look = client.prepare_cached(LOOK).await?;
        let found = client.query_opt(&look, &[&mail.event]).await?;
        Ok(match found {
            Some(row) if row.get(0) => Claim::Sent,
            Some(row) => {
                let left: f64 = row.get(1);
                Claim::Taken(Duration::from_secs_f64(left.clamp(1.0, 3600.0)))
            }
            // Cleaned meanwhile.
            None => Claim::Taken(Duration::from_secs(1)),
        })
    }

    async fn sent(&self, mail: Mail, by: Uuid) -> Result<(), StoreError> {
        let client = self.0.get().await?;
        let values: [&(dyn tokio_postgres::types::ToSql + Sync); 3] =
            [&mail.event, &mail.user, &by];
        Ok(client.execute(SENT, &values).await.map(drop)?)
    }

    async fn release(&self, event: Uuid, by: Uuid) -> Result<(), StoreError> {
        let client = self.0.get().await?;
        Ok(client.execute(RELEASE, &[&event, &by]).await.map(drop)?)
    }

    async fn forget(&self, user: Uuid) -> Result<u64, StoreError> {
        let client = self.0.get().await?;
        Ok(client.execute(FORGET, &[&user]).await?)
    }

    async fn clean(&self, age: Duration, most: u32) -> Result<u64, StoreError> {
        let client = self.0.get().await?;
        let values: [&(dyn tokio_postgres::types::ToSql + Sync); 2] =
            [&age.as_secs_f64(), &i64::from(most)];
        Ok(client.execute(CLEAN, &values).await?)
    }

    async fn check(&self) -> Result<(), StoreError> {
        let client = self.0.get().await?;
        Ok(client.query_one("SELECT 1", &[]).await.map(drop)?)
    }
}
