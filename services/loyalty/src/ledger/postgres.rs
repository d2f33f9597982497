//! In PostgreSQL, shared by all instances.

use std::time::Duration;

use async_trait::async_trait;
use sso_events::failpoint::{self, Step};
use sso_service::database::{StoreError, forgotten, postgres::Postgres};
use tokio::time::timeout;
use tokio_postgres::Transaction;
use uuid::Uuid;

use super::{Checked, Credited, HOUSE, Ledger, Line, MOST_BALANCE, Order, Posted};

pub(super) struct InPostgres(pub(super) Postgres);

/// Makes the account if need be, and locks it: transfers of an account have ids in their order.
const OPEN: &str = "
    INSERT INTO accounts (user_id) VALUES ($1)
    ON CONFLICT (user_id) DO UPDATE SET balance = accounts.balance
    RETURNING id, balance";
const LOCK: &str = "SELECT id, balance FROM accounts WHERE user_id = $1 FOR UPDATE";
const WELCOME: &str = "
    INSERT INTO transfers (kind, comment, event_id) VALUES ('welcome', '', $1)
    ON CONFLICT (event_id) DO NOTHING
    RETURNING id";
const TRANSFER: &str =
    "INSERT INTO transfers (kind, comment, by_user) VALUES ($1, $2, $3) RETURNING id";
/// Never below zero, whoever comes between.
const MOVE: &str = "
    UPDATE accounts SET balance = balance + $2::bigint
    WHERE id = $1 AND balance + $2::bigint BETWEEN 0 AND $3::bigint
    RETURNING balance";
const ENTRIES: &str = "
    INSERT INTO entries (account_id, transfer_id, points, balance)
    VALUES ($1::bigint, $2::bigint, $3::bigint, $4::bigint), ($5::bigint, $2::bigint, -$3::bigint, NULL)";
/// Waits for another request of the same key to end.
const TAKE_KEY: &str = "
    INSERT INTO keys (by_user, key, user_id, fingerprint) VALUES ($1, $2, $3, $4)
    ON CONFLICT (by_user, key) DO NOTHING";
const READ_KEY: &str = "SELECT fingerprint, answer FROM keys WHERE by_user = $1 AND key = $2";
const ANSWER_KEY: &str = "UPDATE keys SET answer = $3 WHERE by_user = $1 AND key = $2";
const BALANCE: &str = "SELECT balance FROM accounts WHERE user_id = $1";
const ACCOUNT: &str = "SELECT id FROM accounts WHERE user_id = $1";
const LINES: &str = "
    SELECT transfers.id, at, kind, points, comment, balance
    FROM entries JOIN transfers ON transfers.id = transfer_id
    WHERE account_id = $1 AND transfer_id < $2
    ORDER BY transfer_id DESC LIMIT $3";
/// A check reads everything. Nobody waits for it but who changes the tables.
const CHECK_LIMIT: &str = "SET LOCAL statement_timeout = '10min'";
/// For the answer that never comes.
const CHECK_PATIENCE: Duration = Duration::from_mins(11);
const CHECK: &str = "
    SELECT
        (SELECT coalesce(sum(points), 0)::bigint FROM entries),
        (SELECT count(*) FROM
            (SELECT FROM entries GROUP BY transfer_id HAVING sum(points) <> 0) AS wrong),
        (SELECT count(*) FROM accounts
            LEFT JOIN (SELECT account_id, sum(points) AS points FROM entries GROUP BY account_id)
                AS sums ON account_id = id
            WHERE id <> $1 AND (balance <> coalesce(points, 0) OR balance < 0)),
        (SELECT count(*) FROM entries)";
const DISOWN: &str = "UPDATE accounts SET user_id = NULL WHERE id = $1";
const DELETE_COMMENTS: &str = "
    UPDATE transfers SET comment = '', by_user = NULL
    WHERE id IN (SELECT transfer_id FROM entries WHERE account_id = $1)";
const DELETE_NAME: &str = "UPDATE transfers SET by_user = NULL WHERE by_user = $1";
const DELETE_KEYS: &str = "DELETE FROM keys WHERE by_user = $1 OR user_id = $1";
const CLEAN: &str = "
    DELETE FROM keys WHERE (by_user, key) IN
        (SELECT by_user, key FROM keys WHERE at < now() - $1 * interval '1 second'
         ORDER BY at LIMIT $2 FOR UPDATE SKIP LOCKED)";

#[async_trait]
impl Ledger for InPostgres {
    async fn credit(&self, event: Uuid, user: Uuid, points: i64) -> Result<Credited, StoreError> {
        let mut client = self.0.get().await?;
        let tx = client.transaction().await?;
        failpoint::passed(Step::Begun);
        if forgotten::holds_in_postgres(&tx, user).await? {
            return Ok(Credited::Forgotten);
        }
        let account: i64 = tx.query_one(OPEN, &[&user]).await?.get(0);
        // If it was credited before, nothing of this is committed.
        let Some(transfer) = tx.query_opt(WELCOME, &[&event]).await? else {
            return Ok(Credited::Before);
        };
        if move_points(&tx, account, transfer.get(0), points)
            .await?
            .is_none()
        {
            return Ok(Credited::TooMuch);
        }
        failpoint::passed(Step::Effected);
        tx.commit().await?;
        failpoint::passed(Step::Noted);
        Ok(Credited::Now)
    }

    async fn post(&self, order: Order) -> Result<Posted, StoreError> {
        let mut client = self.0.get().await?;
        let tx = client.transaction().await?;
        let fingerprint = order.fingerprint();
        if let Some(key) = &order.key {
            let taken = tx
                .execute(TAKE_KEY, &[&order.by, key, &order.user, &fingerprint])
                .await?;
            if taken == 0 {
                return read_key(&tx, order.by, key, &fingerprint).await;
            }
        }
        let posted = transfer(&tx, &order).await?;
        if let Some(key) = &order.key {
            let answer = posted.stored();
            tx.execute(ANSWER_KEY, &[&order.by, key, &answer]).await?;
        }
        tx.commit().await?;
        Ok(posted)
    }

    async fn balance(&self, user: Uuid) -> Result<Option<i64>, StoreError> {
        let client = self.0.get().await?;
        let row = client.query_opt(BALANCE, &[&user]).await?;
        Ok(row.map(|row| row.get(0)))
    }

    async fn lines(
        &self,
        user: Uuid,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Option<Vec<Line>>, StoreError> {
        let client = self.0.get().await?;
        let Some(account) = client.query_opt(ACCOUNT, &[&user]).await? else {
            return Ok(None);
        };
        let account: i64 = account.get(0);
        let (before, limit) = (before.unwrap_or(i64::MAX), i64::from(limit));
        let rows = client.query(LINES, &[&account, &before, &limit]).await?;
        let line = |row: &tokio_postgres::Row| Line {
            id: row.get(0),
            at: row.get(1),
            kind: row.get(2),
            points: row.get(3),
            comment: row.get(4),
            balance: row.get(5),
        };
        Ok(Some(rows.iter().map(line).collect()))
    }

    async fn check(&self) -> Result<Checked, StoreError> {
        let mut client = self.0.get().await?;
        let look = async {
            let tx = client.build_transaction().read_only(true).start().await?;
            tx.batch_execute(CHECK_LIMIT).await?;
            // One statement sees one moment.
            tx.query_one(CHECK, &[&HOUSE]).await
        };
        let looked = timeout(CHECK_PATIENCE, look).await;
        let silent = |_| StoreError::Unavailable("it does not answer in time".to_owned());
        let row = looked.map_err(silent)??;
        Ok(Checked {
            sum: row.get(0),
            transfers: row.get(1),
            accounts: row.get(2),
            entries: row.get(3),
        })
    }

    async fn forget(&self, user: Uuid) -> Result<bool, StoreError> {
        let mut client = self.0.get().await?;
        let tx = client.transaction().await?;
        forgotten::add_in_postgres(&tx, user).await?;
        let found = tx.query_opt(LOCK, &[&user]).await?;
        if let Some(row) = &found {
            let (account, balance): (i64, i64) = (row.get(0), row.get(1));
            if balance > 0 {
                let nobody: Option<Uuid> = None;
                let row = tx
                    .query_one(TRANSFER, &[&"forgotten", &"", &nobody])
                    .await?;
                move_points(&tx, account, row.get(0), -balance).await?;
            }
            tx.execute(DELETE_COMMENTS, &[&account]).await?;
            tx.execute(DISOWN, &[&account]).await?;
        }
        tx.execute(DELETE_NAME, &[&user]).await?;
        tx.execute(DELETE_KEYS, &[&user]).await?;
        tx.commit().await?;
        Ok(found.is_some())
    }

    async fn clean(&self, age: Duration, most: u32) -> Result<u64, StoreError> {
        let client = self.0.get().await?;
        let (age, most) = (age.as_secs_f64(), i64::from(most));
        Ok(client.execute(CLEAN, &[&age, &most]).await?)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        let client = self.0.get().await?;
        Ok(client.query_one("SELECT 1", &[]).await.map(drop)?)
    }
}

/// The answer of an earlier request.
async fn read_key(
    tx: &Transaction<'_>,
    by: Uuid,
    key: &str,
    fingerprint: &str,
) -> Result<Posted, StoreError> {
    let row = tx.query_opt(READ_KEY, &[&by, &key]).await?;
    let gone = || StoreError::Unavailable("the key has just expired".to_owned());
    let row = row.ok_or_else(gone)?;
    if row.get::<_, &str>(0) != fingerprint {
        return Ok(Posted::KeyReused);
    }
    let answer: Option<i64> = row.get(1);
    answer.map(Posted::of_stored).ok_or_else(gone)
}

async fn transfer(tx: &Transaction<'_>, order: &Order) -> Result<Posted, StoreError> {
    let open = if order.points > 0 { OPEN } else { LOCK };
    let Some(account) = tx.query_opt(open, &[&order.user]).await? else {
        return Ok(Posted::Unknown);
    };
    let (account, balance): (i64, i64) = (account.get(0), account.get(1));
    if balance + order.points < 0 {
        return Ok(Posted::Insufficient);
    }
    if balance + order.points > MOST_BALANCE {
        return Ok(Posted::TooMuch);
    }
    let values: [&(dyn tokio_postgres::types::ToSql + Sync); 3] =
        [&order.kind(), &order.comment, &order.by];
    let transfer = tx.query_one(TRANSFER, &values).await?;
    let moved = move_points(tx, account, transfer.get(0), order.points).await?;
    let lost = || StoreError::Damaged("a locked account has changed".to_owned());
    let balance = moved.ok_or_else(lost)?;
    Ok(Posted::Done {
        balance,
        repeated: false,
    })
}

/// Moves points from the house to an account, or back; the balance after it. `None`: that cannot be.
async fn move_points(
    tx: &Transaction<'_>,
    account: i64,
    transfer: i64,
    points: i64,
) -> Result<Option<i64>, StoreError> {
    let moved = tx
        .query_opt(MOVE, &[&account, &points, &MOST_BALANCE])
        .await?;
    let Some(moved) = moved else {
        return Ok(None);
    };
    let balance: i64 = moved.get(0);
    tx.execute(ENTRIES, &[&account, &transfer, &points, &balance, &HOUSE])
        .await?;
    Ok(Some(balance))
}
