//! In PostgreSQL, shared by all instances.

use std::time::Duration;

use async_trait::async_trait;
use sso_service::database::{StoreError, forgotten, postgres::Postgres};
use tokio_postgres::Row;
use uuid::Uuid;

use super::{Claim, Mail, Progress, Store};

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
    SELECT sent_at IS NOT NULL, user_id IS NULL,
        extract(epoch FROM claimed_until - now())::float8
    FROM mails WHERE event_id = $1";
/// The claim may have been lost in a failover; whose it is may be forgotten since.
const SENT: &str = "
    INSERT INTO mails (event_id, user_id, claimed_by, claimed_until, sent_at)
    VALUES (
        $1,
        (SELECT $2::uuid WHERE NOT EXISTS (SELECT FROM forgotten WHERE user_id = $2)),
        $3, now(), now()
    )
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
        let mut client = self.0.get().await?;
        let tx = client.transaction().await?;
        if forgotten::holds_in_postgres(&tx, mail.user).await? {
            return Ok(Claim::Forgotten);
        }
        let claim = tx.prepare_cached(CLAIM).await?;
        let hold = hold.as_secs_f64();
        let values: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
            [&mail.event, &mail.user, &by, &hold];
        if tx.query_opt(&claim, &values).await?.is_some() {
            tx.commit().await?;
            return Ok(Claim::Granted);
        }
        let look = tx.prepare_cached(LOOK).await?;
        let found = tx.query_opt(&look, &[&mail.event]).await?;
        Ok(progress(found.as_ref()).refusal())
    }

    async fn progress(&self, event: Uuid) -> Result<Progress, StoreError> {
        let client = self.0.get().await?;
        let look = client.prepare_cached(LOOK).await?;
        let found = client.query_opt(&look, &[&event]).await?;
        Ok(progress(found.as_ref()))
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
        let mut client = self.0.get().await?;
        let tx = client.transaction().await?;
        forgotten::add_in_postgres(&tx, user).await?;
        let count = tx.execute(FORGET, &[&user]).await?;
        tx.commit().await?;
        Ok(count)
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

fn progress(found: Option<&Row>) -> Progress {
    let Some(row) = found else {
        return Progress::Untried;
    };
    let left: f64 = row.get(2);
    let left = Duration::from_secs_f64(left.clamp(0.0, 3600.0));
    Progress::of(row.get(0), row.get(1), left)
}
