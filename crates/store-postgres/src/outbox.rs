//! The outbox.

use std::collections::BTreeMap;

use async_trait::async_trait;
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
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::{
    codec::{self, Columns, event_columns, stored_event_columns},
    commit::Witness,
    error::Fault,
    store::PostgresStore,
    tx::PostgresTx,
};

pub(crate) const APPEND: &str = "
    INSERT INTO outbox (id, user_id, shard, kind, payload, status, attempts, traceparent,
                        tracestate, created_at)
    VALUES ($1, $2, $3, $4, $5, 'inProgress', 0, $6, $7, $8)";

/// Shard by shard, so that each is read from its index in order and only as far as needed: over all
/// at once a planner with old statistics sorts the whole backlog. Of each its share ($2): to find
/// the oldest of all shards would read `limit` rows of each.
const PENDING: &str = concat!(
    "SELECT ",
    event_columns!(),
    " FROM unnest($1::smallint[]) AS s (shard)
     CROSS JOIN LATERAL (
         SELECT * FROM outbox p
         WHERE p.status = 'inProgress' AND p.shard = s.shard
           AND NOT EXISTS (SELECT 1 FROM outbox f
                           WHERE f.status = 'Failed' AND f.skipped_at IS NULL
                             AND f.user_id = p.user_id AND f.sequence < p.sequence)
         ORDER BY p.sequence LIMIT $2) AS o
     ORDER BY o.sequence LIMIT $3"
);

/// What is known of a deleted user goes with the delivery.
const SETTLE: &str = "
    UPDATE outbox o
    SET status = d.status,
        attempts = o.attempts + CASE WHEN o.status = 'inProgress' THEN d.attempts ELSE 0 END,
        delivered_at = CASE WHEN d.status = 'Success' THEN $4::timestamptz END,
        skipped_at = NULL,
        payload = CASE WHEN d.status = 'Success'
                        AND (o.forget
                             OR EXISTS (SELECT 1 FROM deleted_users g WHERE g.id = o.user_id))
                  THEN ''::bytea ELSE o.payload END
    FROM unnest($1::uuid[], $2::text[], $3::integer[]) AS d (id, status, attempts)
    WHERE o.id = d.id
      AND (o.status = 'inProgress' OR (d.status = 'Success' AND o.status <> 'Success'))";

const BACKLOG: &str = "
    SELECT (SELECT count(*) FROM outbox WHERE status = 'inProgress'),
           (SELECT count(*) FROM outbox WHERE status = 'Failed' AND skipped_at IS NULL),
           (SELECT created_at FROM outbox WHERE status = 'inProgress' ORDER BY sequence LIMIT 1)";

// A statement for each status, written out: a partial index is used only for what the statement
// itself says.
const PAGE: &str = concat!(
    "SELECT ",
    stored_event_columns!(),
    " FROM outbox o WHERE o.sequence > $1 ORDER BY o.sequence LIMIT $2"
);

const PAGE_IN_PROGRESS: &str = concat!(
    "SELECT ",
    stored_event_columns!(),
    " FROM outbox o WHERE o.status = 'inProgress' AND o.sequence > $1
     ORDER BY o.sequence LIMIT $2"
);

const PAGE_SUCCESS: &str = concat!(
    "SELECT ",
    stored_event_columns!(),
    " FROM outbox o WHERE o.status = 'Success' AND o.sequence > $1
     ORDER BY o.sequence LIMIT $2"
);

const PAGE_FAILED: &str = concat!(
    "SELECT ",
    stored_event_columns!(),
    " FROM outbox o WHERE o.status = 'Failed' AND o.sequence > $1
     ORDER BY o.sequence LIMIT $2"
);

const BY_ID: &str = concat!(
    "SELECT ",
    stored_event_columns!(),
    " FROM outbox o WHERE o.id = $1"
);

const RESEND: &str = concat!(
    "UPDATE outbox o SET status = 'inProgress', attempts = 0
     WHERE o.id = $1 AND o.status = 'Failed' AND o.skipped_at IS NULL
     RETURNING ",
    stored_event_columns!()
);

const SKIP: &str = concat!(
    "UPDATE outbox o SET skipped_at = $2
     WHERE o.id = $1 AND o.status = 'Failed' AND o.skipped_at IS NULL
     RETURNING ",
    stored_event_columns!()
);

#[cfg(test)]
pub(crate) const STATEMENTS: &[&str] = &[
    APPEND,
    PENDING,
    SETTLE,
    BACKLOG,
    PAGE,
    PAGE_IN_PROGRESS,
    PAGE_SUCCESS,
    PAGE_FAILED,
    BY_ID,
    RESEND,
    SKIP,
];

/// What the reports of one event come to, one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Settled {
    status: EventStatus,
    attempts: i32,
}

impl Settled {
    const NOTHING: Self = Self {
        status: EventStatus::InProgress,
        attempts: 0,
    };

    /// Success wins over everything, and after a failure nothing else counts.
    fn after(self, delivered: Delivered) -> Self {
        match (self.status, delivered) {
            (EventStatus::Success, _) => self,
            (_, Delivered::Success) => Self {
                status: EventStatus::Success,
                ..self
            },
            (EventStatus::Failed, _) => self,
            (EventStatus::InProgress, Delivered::Refused) => Self {
                attempts: self.attempts.saturating_add(1),
                ..self
            },
            (EventStatus::InProgress, Delivered::Failed) => Self {
                status: EventStatus::Failed,
                attempts: self.attempts.saturating_add(1),
            },
        }
    }
}

/// By id: two relays that report the same events lock them in one order.
fn fold(reports: &[(EventId, Delivered)]) -> BTreeMap<Uuid, Settled> {
    let mut settled = BTreeMap::new();
    for (id, delivered) in reports {
        let event = settled.entry(id.as_uuid()).or_insert(Settled::NOTHING);
        *event = event.after(*delivered);
    }
    settled
}

fn backlog(columns: &mut Columns<'_>) -> Result<Backlog, Fault> {
    let mut count =
        |name| u64::try_from(columns.take::<i64>(name)?).map_err(|_| Fault::Undecodable(name));
    Ok(Backlog {
        in_progress: count("count(inProgress)")?,
        failed: count("count(Failed)")?,
        oldest: columns.take("outbox.created_at")?,
    })
}

#[async_trait]
impl OutboxStore for PostgresStore {
    async fn pending_events(
        &self,
        shards: ShardSet,
        limit: u32,
    ) -> Result<Vec<PendingEvent>, StoreError> {
        let share = i64::from(shards.share_of(limit));
        let shards: Vec<_> = shards.iter().map(i16::from).collect();
        let params: [&(dyn ToSql + Sync); 3] = [&shards, &share, &i64::from(limit)];
        self.poll_all(PENDING, &params, codec::event).await
    }

    async fn settle_events(
        &self,
        reports: &[(EventId, Delivered)],
        now: OffsetDateTime,
    ) -> Result<(), StoreError> {
        if reports.is_empty() {
            return Ok(());
        }
        let settled = fold(reports);
        let ids: Vec<_> = settled.keys().copied().collect();
        let statuses: Vec<_> = settled.values().map(|one| one.status.as_str()).collect();
        let attempts: Vec<_> = settled.values().map(|one| one.attempts).collect();
        self.write(SETTLE, &[&ids, &statuses, &attempts, &now])
            .await
            .map(|_| ())
    }

    async fn events(&self, page: EventPage) -> Result<Vec<StoredEvent>, StoreError> {
        let sql = match page.status {
            None => PAGE,
            Some(EventStatus::InProgress) => PAGE_IN_PROGRESS,
            Some(EventStatus::Success) => PAGE_SUCCESS,
            Some(EventStatus::Failed) => PAGE_FAILED,
        };
        let limit = i64::from(page.limit);
        self.read_all(sql, &[&page.after, &limit], codec::stored_event)
            .await
    }

    async fn backlog(&self) -> Result<Backlog, StoreError> {
        let backlog = self.poll_all(BACKLOG, &[], backlog).await?;
        Ok(backlog.into_iter().next().unwrap_or_default())
    }
}

impl PostgresTx {
    async fn moved(&mut self, id: Uuid, row: Option<StoredEvent>) -> Result<Moved, StoreError> {
        if let Some(event) = row {
            return Ok(Moved::Now(event));
        }
        let event = self.first(BY_ID, &[&id], codec::stored_event).await?;
        Ok(event.map_or(Moved::Unknown, Moved::Not))
    }
}

/// The parameters of [`APPEND`].
pub(crate) struct Appending<'a> {
    id: Uuid,
    user: Uuid,
    shard: i16,
    new: &'a NewEvent,
}

impl<'a> Appending<'a> {
    pub(crate) fn of(new: &'a NewEvent) -> Self {
        Self {
            id: new.id.as_uuid(),
            user: new.user.as_uuid(),
            shard: i16::from(shard_of(new.user)),
            new,
        }
    }

    pub(crate) fn params(&self) -> [&(dyn ToSql + Sync); 8] {
        [
            &self.id,
            &self.user,
            &self.shard,
            &self.new.kind,
            &self.new.payload,
            &self.new.traceparent,
            &self.new.tracestate,
            &self.new.created_at,
        ]
    }
}

#[async_trait]
impl OutboxWrites for PostgresTx {
    async fn append_event(&mut self, event: &NewEvent) -> Result<(), StoreError> {
        let new = Appending::of(event);
        self.witness.get_or_insert(Witness::Event(new.id));
        self.execute(APPEND, &new.params()).await
    }

    async fn resend_event(&mut self, id: EventId) -> Result<Moved, StoreError> {
        let id = id.as_uuid();
        let row = self.first(RESEND, &[&id], codec::stored_event).await?;
        self.moved(id, row).await
    }

    async fn skip_event(&mut self, id: EventId, now: OffsetDateTime) -> Result<Moved, StoreError> {
        let id = id.as_uuid();
        let row = self.first(SKIP, &[&id, &now], codec::stored_event).await?;
        self.moved(id, row).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_of_one_event_come_to_what_they_would_one_after_the_other() {
        use Delivered::{Failed, Refused, Success};
        let cases: [(&[Delivered], EventStatus, i32); 5] = [
            (&[Refused, Refused], EventStatus::InProgress, 2),
            (&[Refused, Failed, Refused], EventStatus::Failed, 2),
            (&[Failed, Failed], EventStatus::Failed, 1),
            (&[Success, Failed, Refused], EventStatus::Success, 0),
            (&[Failed, Success], EventStatus::Success, 1),
        ];
        for (reports, status, attempts) in cases {
            let folded = reports
                .iter()
                .fold(Settled::NOTHING, |settled, report| settled.after(*report));
            assert_eq!(folded, Settled { status, attempts }, "{reports:?}");
        }
    }
}
