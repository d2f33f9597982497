//! The outbox.

use async_trait::async_trait;
use rusqlite::{Connection, named_params};
use sso_core::{
    ports::{
        StoreError,
        store::{
            Backlog, Delivered, EventPage, EventStatus, Moved, NewEvent, OutboxStore, OutboxWrites,
            PendingEvent, StoredEvent,
        },
    },
    values::{EventId, ShardSet, shard_of},
};
use time::OffsetDateTime;

use crate::{
    codec::{self, micros},
    fault::Fault,
    query::{all, execute, first, one, scalar},
    store::SqliteStore,
    tx::SqliteTx,
};

const APPEND: &str = "
    INSERT INTO outbox (id, user_id, shard, kind, payload, status, attempts, traceparent,
                        tracestate, created_at)
    VALUES (:id, :user, :shard, :kind, :payload, 'inProgress', 0, :traceparent,
            :tracestate, :created_at)";

const PENDING: &str = "
    SELECT * FROM outbox AS o
    WHERE status = 'inProgress' AND (:shards >> shard) & 1 = 1
      AND NOT EXISTS (SELECT 1 FROM outbox AS f WHERE f.status = 'Failed' AND f.skipped_at IS NULL
                      AND f.user_id = o.user_id AND f.sequence < o.sequence)
    ORDER BY sequence LIMIT :limit";

/// What is known of a deleted user goes with the delivery.
const SUCCEED: &str = "
    UPDATE outbox
    SET status = 'Success', delivered_at = :now, skipped_at = NULL,
        payload = CASE WHEN EXISTS (SELECT 1 FROM deleted_users d WHERE d.id = outbox.user_id)
                  THEN x'' ELSE payload END
    WHERE id = :id AND status <> 'Success'";

const REFUSE: &str = "
    UPDATE outbox SET attempts = attempts + 1, status = :status
    WHERE id = :id AND status = 'inProgress'";

const COUNT_IN_PROGRESS: &str = "SELECT count(*) FROM outbox WHERE status = 'inProgress'";

const COUNT_FAILED: &str = "
    SELECT count(*) FROM outbox WHERE status = 'Failed' AND skipped_at IS NULL";

const OLDEST: &str = "
    SELECT * FROM outbox WHERE status = 'inProgress' ORDER BY sequence LIMIT 1";

// A statement for each status, written out: a partial index is used only for what the statement
// itself says.
const PAGE: &str = "
    SELECT * FROM outbox WHERE sequence > :after ORDER BY sequence LIMIT :limit";

const PAGE_IN_PROGRESS: &str = "
    SELECT * FROM outbox WHERE status = 'inProgress' AND sequence > :after
    ORDER BY sequence LIMIT :limit";

const PAGE_SUCCESS: &str = "
    SELECT * FROM outbox WHERE status = 'Success' AND sequence > :after
    ORDER BY sequence LIMIT :limit";

const PAGE_FAILED: &str = "
    SELECT * FROM outbox WHERE status = 'Failed' AND sequence > :after
    ORDER BY sequence LIMIT :limit";

const BY_ID: &str = "SELECT * FROM outbox WHERE id = :id";

const RESEND: &str = "
    UPDATE outbox SET status = 'inProgress', attempts = 0
    WHERE id = :id AND status = 'Failed' AND skipped_at IS NULL
    RETURNING *";

const SKIP: &str = "
    UPDATE outbox SET skipped_at = :now
    WHERE id = :id AND status = 'Failed' AND skipped_at IS NULL
    RETURNING *";

#[cfg(test)]
pub(crate) const STATEMENTS: &[&str] = &[
    APPEND,
    PENDING,
    SUCCEED,
    REFUSE,
    COUNT_IN_PROGRESS,
    COUNT_FAILED,
    OLDEST,
    PAGE,
    PAGE_IN_PROGRESS,
    PAGE_SUCCESS,
    PAGE_FAILED,
    BY_ID,
    RESEND,
    SKIP,
];

pub(crate) fn append(connection: &Connection, event: &NewEvent) -> Result<(), Fault> {
    let params = named_params! {
        ":id": event.id.as_uuid().into_bytes(),
        ":user": event.user.as_uuid().into_bytes(),
        ":shard": shard_of(event.user),
        ":kind": event.kind,
        ":payload": event.payload,
        ":traceparent": event.traceparent,
        ":tracestate": event.tracestate,
        ":created_at": micros(event.created_at),
    };
    execute(connection, APPEND, params).map(|_| ())
}

fn settle(
    connection: &Connection,
    id: EventId,
    delivered: Delivered,
    now: OffsetDateTime,
) -> Result<(), Fault> {
    let id = id.as_uuid().into_bytes();
    let status = match delivered {
        Delivered::Success => {
            let params = named_params! {":id": id, ":now": micros(now)};
            return execute(connection, SUCCEED, params).map(|_| ());
        }
        Delivered::Refused => EventStatus::InProgress,
        Delivered::Failed => EventStatus::Failed,
    };
    let params = named_params! {":id": id, ":status": status.as_str()};
    execute(connection, REFUSE, params).map(|_| ())
}

fn backlog(connection: &Connection) -> Result<Backlog, Fault> {
    let count = |sql| {
        let rows: i64 = one(connection, sql, [], scalar)?;
        u64::try_from(rows).map_err(|_| Fault::Undecodable("count"))
    };
    Ok(Backlog {
        in_progress: count(COUNT_IN_PROGRESS)?,
        failed: count(COUNT_FAILED)?,
        oldest: first(connection, OLDEST, [], codec::event)?.map(|event| event.created_at),
    })
}

fn page(connection: &Connection, page: EventPage) -> Result<Vec<StoredEvent>, Fault> {
    let sql = match page.status {
        None => PAGE,
        Some(EventStatus::InProgress) => PAGE_IN_PROGRESS,
        Some(EventStatus::Success) => PAGE_SUCCESS,
        Some(EventStatus::Failed) => PAGE_FAILED,
    };
    let params = named_params! {":after": page.after, ":limit": page.limit};
    all(connection, sql, params, codec::stored_event)
}

fn resend(connection: &Connection, id: EventId) -> Result<Moved, Fault> {
    let params = named_params! {":id": id.as_uuid().into_bytes()};
    let event = first(connection, RESEND, params, codec::stored_event)?;
    moved(connection, id, event)
}

fn skip(connection: &Connection, id: EventId, now: OffsetDateTime) -> Result<Moved, Fault> {
    let params = named_params! {":id": id.as_uuid().into_bytes(), ":now": micros(now)};
    let event = first(connection, SKIP, params, codec::stored_event)?;
    moved(connection, id, event)
}

fn moved(connection: &Connection, id: EventId, row: Option<StoredEvent>) -> Result<Moved, Fault> {
    if let Some(event) = row {
        return Ok(Moved::Now(event));
    }
    let params = named_params! {":id": id.as_uuid().into_bytes()};
    let event = first(connection, BY_ID, params, codec::stored_event)?;
    Ok(event.map_or(Moved::Unknown, Moved::Not))
}

#[async_trait]
impl OutboxStore for SqliteStore {
    async fn pending_events(
        &self,
        shards: ShardSet,
        limit: u32,
    ) -> Result<Vec<PendingEvent>, StoreError> {
        self.read(move |connection| {
            let params = named_params! {":shards": shards.bits(), ":limit": limit};
            all(connection, PENDING, params, codec::event)
        })
        .await
    }

    async fn settle_events(
        &self,
        settled: &[(EventId, Delivered)],
        now: OffsetDateTime,
    ) -> Result<(), StoreError> {
        if settled.is_empty() {
            return Ok(());
        }
        let settled = settled.to_vec();
        self.write(move |connection| {
            settled
                .iter()
                .try_for_each(|(id, delivered)| settle(connection, *id, *delivered, now))
        })
        .await
    }

    async fn events(&self, page: EventPage) -> Result<Vec<StoredEvent>, StoreError> {
        self.read(move |connection| self::page(connection, page))
            .await
    }

    async fn backlog(&self) -> Result<Backlog, StoreError> {
        self.read(backlog).await
    }
}

#[async_trait]
impl OutboxWrites for SqliteTx {
    async fn append_event(&mut self, event: &NewEvent) -> Result<(), StoreError> {
        let event = event.clone();
        self.step(move |connection| append(connection, &event))
            .await
    }

    async fn resend_event(&mut self, id: EventId) -> Result<Moved, StoreError> {
        self.step(move |connection| resend(connection, id)).await
    }

    async fn skip_event(&mut self, id: EventId, now: OffsetDateTime) -> Result<Moved, StoreError> {
        self.step(move |connection| skip(connection, id, now)).await
    }
}
