use async_trait::async_trait;
use time::OffsetDateTime;

use super::StoreError;
use crate::values::{EventId, ShardSet, UserId};

/// An event to be stored with what it tells of.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// The same through all deliveries.
    pub id: EventId,
    /// Key: a user's events are delivered in order.
    pub user: UserId,
    /// What happened, e.g. `registration`.
    pub kind: &'static str,
    /// The encoded message (protobuf).
    pub payload: Vec<u8>,
    /// Microseconds.
    pub created_at: OffsetDateTime,
    /// W3C Trace Context of the request that caused it.
    pub traceparent: Option<String>,
    /// W3C Trace Context of the request that caused it.
    pub tracestate: Option<String>,
}

/// An event that is not known to be delivered.
#[derive(Debug, Clone)]
pub struct PendingEvent {
    /// Rises in the order of commits of one user's events.
    pub sequence: i64,
    /// The same through all deliveries.
    pub id: EventId,
    /// Key.
    pub user: UserId,
    /// What happened.
    pub kind: String,
    /// The encoded message (protobuf).
    pub payload: Vec<u8>,
    /// How often the message itself was refused.
    pub attempts: u32,
    /// Microseconds.
    pub created_at: OffsetDateTime,
    /// W3C Trace Context of the request that caused it.
    pub traceparent: Option<String>,
    /// W3C Trace Context of the request that caused it.
    pub tracestate: Option<String>,
}

/// An event without its content, as administrators see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEvent {
    /// Rises in the order of commits of one user's events.
    pub sequence: i64,
    /// The same through all deliveries.
    pub id: EventId,
    /// Key.
    pub user: UserId,
    /// What happened.
    pub kind: String,
    /// Whether the sink has it.
    pub status: EventStatus,
    /// When an administrator gave a `Failed` event up, so that its user's later ones go on.
    pub skipped_at: Option<OffsetDateTime>,
    /// How often the message itself was refused.
    pub attempts: u32,
    /// Microseconds.
    pub created_at: OffsetDateTime,
}

/// Which events to list, in the order they were stored.
#[derive(Debug, Clone, Copy)]
pub struct EventPage {
    /// Only these; `None`: all.
    pub status: Option<EventStatus>,
    /// Those after this sequence; 0 for the first page.
    pub after: i64,
    /// At most this many.
    pub limit: u32,
}

/// What became of the wish to resend or to skip an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Moved {
    /// It moved; the row as it is now.
    Now(StoredEvent),
    /// It stays: only an event that is `Failed`, and not skipped, can be resent or skipped.
    Not(StoredEvent),
    /// No such event.
    Unknown,
}

/// The status of an event, by the contract's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventStatus {
    /// `inProgress`
    InProgress,
    /// `Success`
    Success,
    /// `Failed`: not known to be delivered, not tried again by itself.
    Failed,
}

impl EventStatus {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::InProgress, Self::Success, Self::Failed];

    /// The contract's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InProgress => "inProgress",
            Self::Success => "Success",
            Self::Failed => "Failed",
        }
    }

    /// The status of the contract's name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == name)
    }
}

/// What became of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivered {
    /// The sink has it.
    Success,
    /// The sink refused the message itself: counts as an attempt, stays `inProgress`.
    Refused,
    /// The sink refused the message itself for the last time.
    Failed,
}

/// What waits in the outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Backlog {
    /// Events `inProgress`.
    pub in_progress: u64,
    /// Events `Failed` and not skipped: each waits for a person.
    pub failed: u64,
    /// When the oldest event `inProgress` was stored.
    pub oldest: Option<OffsetDateTime>,
}

/// The relay's side of the outbox.
#[async_trait]
pub trait OutboxStore {
    /// Events `inProgress` of these shards, at most `limit`: of each shard from the first, since
    /// transactions become visible in another order, and in the order of their sequence. What of a
    /// shard is beyond its share of `limit` may wait for the next time, though of others there are
    /// fewer. A `Failed` event that is not skipped holds back the later ones of its user, so that
    /// they stay in order.
    async fn pending_events(
        &self,
        shards: ShardSet,
        limit: u32,
    ) -> Result<Vec<PendingEvent>, StoreError>;

    /// Records what became of deliveries. `Success` wins over everything.
    async fn settle_events(
        &self,
        settled: &[(EventId, Delivered)],
        now: OffsetDateTime,
    ) -> Result<(), StoreError>;

    /// A page of events, from the primary.
    async fn events(&self, page: EventPage) -> Result<Vec<StoredEvent>, StoreError>;

    /// What waits.
    async fn backlog(&self) -> Result<Backlog, StoreError>;
}

/// The use case's side of the outbox.
#[async_trait]
pub trait OutboxWrites {
    /// Stores an event as `inProgress`.
    async fn append_event(&mut self, event: &NewEvent) -> Result<(), StoreError>;

    /// Makes a `Failed` event that is not skipped `inProgress` again, with no attempts.
    async fn resend_event(&mut self, id: EventId) -> Result<Moved, StoreError>;

    /// Gives a `Failed` event up, for good: it stays `Failed` and holds back nothing any more.
    async fn skip_event(&mut self, id: EventId, now: OffsetDateTime) -> Result<Moved, StoreError>;
}
