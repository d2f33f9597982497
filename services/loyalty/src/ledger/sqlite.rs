//! In SQLite, for one instance.

use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{OptionalExtension, Result, Row, Transaction, params};
use sso_events::failpoint::{self, Step};
use sso_service::{
    database::{StoreError, forgotten, sqlite::Sqlite},
    world::now,
};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Checked, Credited, HOUSE, Ledger, Line, MOST_BALANCE, Order, Posted};

pub(super) struct InSqlite(pub(super) Sqlite);

const OPEN: &str = "INSERT INTO accounts (user_id) VALUES (?1) ON CONFLICT (user_id) DO NOTHING";
const ACCOUNT: &str = "SELECT id, balance FROM accounts WHERE user_id = ?1";
const KNOWN: &str = "SELECT true FROM transfers WHERE event_id = ?1";
const TRANSFER: &str = "
    INSERT INTO transfers (at, kind, comment, event_id, by_user) VALUES (?1, ?2, ?3, ?4, ?5)
    RETURNING id";
/// Never below zero.
const MOVE: &str = "
    UPDATE accounts SET balance = balance + ?2
    WHERE id = ?1 AND balance + ?2 BETWEEN 0 AND ?3
    RETURNING balance";
const ENTRIES: &str = "
    INSERT INTO entries (account_id, transfer_id, points, balance)
    VALUES (?1, ?2, ?3, ?4), (?5, ?2, -?3, NULL)";
const READ_KEY: &str = "SELECT fingerprint, answer FROM keys WHERE by_user = ?1 AND key = ?2";
const PUT_KEY: &str = "
    INSERT INTO keys (by_user, key, user_id, fingerprint, answer, at)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
const LINES: &str = "
    SELECT transfers.id, at, kind, points, comment, balance
    FROM entries JOIN transfers ON transfers.id = transfer_id
    WHERE account_id = ?1 AND transfer_id < ?2
    ORDER BY transfer_id DESC LIMIT ?3";
const CHECK: &str = "
    SELECT
        (SELECT coalesce(sum(points), 0) FROM entries),
        (SELECT count(*) FROM
            (SELECT 1 FROM entries GROUP BY transfer_id HAVING sum(points) <> 0)),
        (SELECT count(*) FROM accounts
            LEFT JOIN (SELECT account_id, sum(points) AS points FROM entries GROUP BY account_id)
                ON account_id = id
            WHERE id <> ?1 AND (balance <> coalesce(points, 0) OR balance < 0)),
        (SELECT count(*) FROM entries)";
const DISOWN: &str = "UPDATE accounts SET user_id = NULL WHERE id = ?1";
const DELETE_COMMENTS: &str = "
    UPDATE transfers SET comment = '', by_user = NULL
    WHERE id IN (SELECT transfer_id FROM entries WHERE account_id = ?1)";
const DELETE_NAME: &str = "UPDATE transfers SET by_user = NULL WHERE by_user = ?1";
const DELETE_KEYS: &str = "DELETE FROM keys WHERE by_user = ?1 OR user_id = ?1";
const CLEAN: &str = "
    DELETE FROM keys WHERE (by_user, key) IN
        (SELECT by_user, key FROM keys WHERE at < ?1 ORDER BY at LIMIT ?2)";

#[async_trait]
impl Ledger for InSqlite {
    async fn credit(
        &self,
        event: Uuid,
        user: Uuid,
        points: i64,
    ) -> std::result::Result<Credited, StoreError> {
        let work = move |tx: &Transaction<'_>| {
            failpoint::passed(Step::Begun);
            if forgotten::holds_in_sqlite(tx, user)? {
                return Ok(Credited::Forgotten);
            }
            let known: Option<bool> = one(tx, KNOWN, params![event.into_bytes()])?;
            if known.is_some() {
                return Ok(Credited::Before);
            }
            tx.execute(OPEN, [user.into_bytes()])?;
            let Some((account, balance)) = account(tx, user)? else {
                return Err(rusqlite::Error::QueryReturnedNoRows);
            };
            if balance + points > MOST_BALANCE {
                return Ok(Credited::TooMuch);
            }
            let what = Transfer {
                kind: "welcome",
                comment: "",
                event: Some(event),
                by: None,
            };
            move_points(tx, account, points, &what)?;
            failpoint::passed(Step::Effected);
            Ok(Credited::Now)
        };
        let credited = self.0.write(work).await?;
        failpoint::passed(Step::Noted);
        Ok(credited)
    }

    async fn post(&self, order: Order) -> std::result::Result<Posted, StoreError> {
        self.0.write(move |tx| post(tx, &order)).await
    }

    async fn balance(&self, user: Uuid) -> std::result::Result<Option<i64>, StoreError> {
        let found = self.0.write(move |tx| account(tx, user)).await?;
        Ok(found.map(|(_, balance)| balance))
    }

    async fn lines(
        &self,
        user: Uuid,
        before: Option<i64>,
        limit: u32,
    ) -> std::result::Result<Option<Vec<Line>>, StoreError> {
        let before = before.unwrap_or(i64::MAX);
        let work = move |tx: &Transaction<'_>| {
            let Some((account, _)) = account(tx, user)? else {
                return Ok(None);
            };
            let mut statement = tx.prepare_cached(LINES)?;
            let lines = statement.query_map(params![account, before, limit], line)?;
            lines.collect::<Result<_>>().map(Some)
        };
        self.0.write(work).await
    }

    async fn check(&self) -> std::result::Result<Checked, StoreError> {
        let work = |tx: &Transaction<'_>| {
            tx.query_row(CHECK, [HOUSE], |row| {
                Ok(Checked {
                    sum: row.get(0)?,
                    transfers: row.get(1)?,
                    accounts: row.get(2)?,
                    entries: row.get(3)?,
                })
            })
        };
        self.0.read(work).await
    }

    async fn forget(&self, user: Uuid) -> std::result::Result<bool, StoreError> {
        let work = move |tx: &Transaction<'_>| {
            forgotten::add_in_sqlite(tx, user)?;
            let found = account(tx, user)?;
            if let Some((account, balance)) = found {
                if balance > 0 {
                    let what = Transfer {
                        kind: "forgotten",
                        comment: "",
                        event: None,
                        by: None,
                    };
                    move_points(tx, account, -balance, &what)?;
                }
                tx.execute(DELETE_COMMENTS, [account])?;
                tx.execute(DISOWN, [account])?;
            }
            tx.execute(DELETE_NAME, [user.into_bytes()])?;
            tx.execute(DELETE_KEYS, [user.into_bytes()])?;
            Ok(found.is_some())
        };
        self.0.write(work).await
    }

    async fn clean(&self, age: Duration, most: u32) -> std::result::Result<u64, StoreError> {
        let age = i64::try_from(age.as_micros()).unwrap_or(i64::MAX);
        let before = micros(now()).saturating_sub(age);
        let work = move |tx: &Transaction<'_>| tx.execute(CLEAN, params![before, most]);
        Ok(self.0.write(work).await? as u64)
    }

    async fn ping(&self) -> std::result::Result<(), StoreError> {
        self.0
            .write(|tx| tx.query_row("SELECT 1", [], |_| Ok(())))
            .await
    }
}

fn post(tx: &Transaction<'_>, order: &Order) -> Result<Posted> {
    let fingerprint = order.fingerprint();
    if let Some(key) = &order.key {
        let mut statement = tx.prepare_cached(READ_KEY)?;
        let found: Option<(String, i64)> = statement
            .query_row(params![order.by.into_bytes(), key], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .optional()?;
        if let Some((before, answer)) = found {
            return Ok(if before == fingerprint {
                Posted::of_stored(answer)
            } else {
                Posted::KeyReused
            });
        }
    }
    let posted = transfer(tx, order)?;
    if let Some(key) = &order.key {
        let values = params![
            order.by.into_bytes(),
            key,
            order.user.into_bytes(),
            fingerprint,
            posted.stored(),
            micros(now())
        ];
        tx.execute(PUT_KEY, values)?;
    }
    Ok(posted)
}

fn transfer(tx: &Transaction<'_>, order: &Order) -> Result<Posted> {
    if order.points > 0 {
        tx.execute(OPEN, [order.user.into_bytes()])?;
    }
    let Some((account, balance)) = account(tx, order.user)? else {
        return Ok(Posted::Unknown);
    };
    if balance + order.points < 0 {
        return Ok(Posted::Insufficient);
    }
    if balance + order.points > MOST_BALANCE {
        return Ok(Posted::TooMuch);
    }
    let what = Transfer {
        kind: order.kind(),
        comment: &order.comment,
        event: None,
        by: Some(order.by),
    };
    let balance = move_points(tx, account, order.points, &what)?;
    Ok(Posted::Done {
        balance,
        repeated: false,
    })
}

struct Transfer<'a> {
    kind: &'static str,
    comment: &'a str,
    event: Option<Uuid>,
    by: Option<Uuid>,
}

/// Moves points from the house to an account, or back; the balance after it.
fn move_points(
    tx: &Transaction<'_>,
    account: i64,
    points: i64,
    what: &Transfer<'_>,
) -> Result<i64> {
    let values = params![
        micros(now()),
        what.kind,
        what.comment,
        what.event.map(Uuid::into_bytes),
        what.by.map(Uuid::into_bytes)
    ];
    let transfer: i64 = tx.query_row(TRANSFER, values, |row| row.get(0))?;
    let moved = params![account, points, MOST_BALANCE];
    let balance: i64 = tx.query_row(MOVE, moved, |row| row.get(0))?;
    tx.execute(ENTRIES, params![account, transfer, points, balance, HOUSE])?;
    Ok(balance)
}

fn account(tx: &Transaction<'_>, user: Uuid) -> Result<Option<(i64, i64)>> {
    let mut statement = tx.prepare_cached(ACCOUNT)?;
    statement
        .query_row([user.into_bytes()], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()
}

fn one<T: rusqlite::types::FromSql>(
    tx: &Transaction<'_>,
    sql: &str,
    values: impl rusqlite::Params,
) -> Result<Option<T>> {
    tx.prepare_cached(sql)?
        .query_row(values, |row| row.get(0))
        .optional()
}

fn line(row: &Row<'_>) -> Result<Line> {
    let at: i64 = row.get(1)?;
    let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(at) * 1000);
    Ok(Line {
        id: row.get(0)?,
        at: at.unwrap_or(OffsetDateTime::UNIX_EPOCH),
        kind: row.get(2)?,
        points: row.get(3)?,
        comment: row.get(4)?,
        balance: row.get(5)?,
    })
}

fn micros(at: OffsetDateTime) -> i64 {
    i64::try_from(at.unix_timestamp_nanos() / 1000).unwrap_or(i64::MAX)
}
