//! The relay: takes events from the outbox to the sink, until the sink has them.
//!
//! Its work is cut into *lanes*: disjoint sets of shards, each delivered round after round. While
//! one lane waits for the sink another reads and writes the store, and a user, who is in one shard
//! and so in one lane, has his events in order.

use std::{
    mem,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
};

use sso_events::{
    DeliveryError, Envelope, EventSink,
    failpoint::{self, Step},
};

use crate::{
    ports::{
        Clock, Shards, Store, StoreError,
        store::{Delivered, PendingEvent},
    },
    values::{EventId, SHARDS, ShardSet, UserId, shard_of},
};

/// Events of one round: bounds memory and the transaction that settles them.
const BATCH: u32 = 1000;
/// How often the message itself may be refused before it is `Failed`.
const ATTEMPTS: u32 = 5;

/// What a round did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Round {
    /// The sink has them now.
    pub delivered: usize,
    /// Refused by the sink, or held back; they stay pending or are `Failed`.
    pub refused: usize,
    /// The sink was away: wait before the next round.
    pub unreachable: bool,
    /// There may be more to do at once.
    pub more: bool,
}

/// What delivers events, of the shards that are this instance's.
pub struct Relay {
    store: Arc<dyn Store>,
    sink: Arc<dyn EventSink>,
    clock: Arc<dyn Clock>,
    shards: Arc<dyn Shards>,
    in_use: AtomicU8,
}

/// A part of the shards, delivered by one round at a time.
#[derive(Debug)]
pub struct Lane {
    shards: ShardSet,
    /// The sink has them, and the store was not to be told.
    untold: Vec<EventId>,
}

impl Lane {
    /// All shards, dealt to this many lanes.
    pub fn all(count: u8) -> Vec<Self> {
        let lane = |number| Self {
            shards: (0..SHARDS)
                .filter(|shard| shard % count == number)
                .collect(),
            untold: Vec::new(),
        };
        (0..count).map(lane).collect()
    }

    /// Which of so many lanes delivers this user's events.
    pub fn number_of(user: UserId, count: u8) -> u8 {
        shard_of(user) % count
    }
}

/// The shards are in use until this is dropped.
struct InUse<'a> {
    all: &'a AtomicU8,
    shards: ShardSet,
}

impl InUse<'_> {
    /// Of these only those in `shards`.
    fn only(&mut self, shards: ShardSet) {
        let unused = self.shards.without(shards);
        self.all.fetch_and(!unused.bits(), Ordering::SeqCst);
        self.shards = self.shards.and(shards);
    }
}

impl Drop for InUse<'_> {
    fn drop(&mut self) {
        self.all.fetch_and(!self.shards.bits(), Ordering::SeqCst);
    }
}

impl Relay {
    /// A relay that delivers nothing yet.
    pub fn new(
        store: Arc<dyn Store>,
        sink: Arc<dyn EventSink>,
        clock: Arc<dyn Clock>,
        shards: Arc<dyn Shards>,
    ) -> Self {
        Self {
            store,
            sink,
            clock,
            shards,
            in_use: AtomicU8::new(0),
        }
    }

    /// The shards that this instance delivers now.
    pub fn mine(&self) -> ShardSet {
        self.shards.mine()
    }

    /// Takes and gives up shards; see [`Shards::tend`].
    pub async fn tend(&self) -> Result<(), StoreError> {
        let in_use = ShardSet::from_bits(self.in_use.load(Ordering::SeqCst));
        self.shards.tend(in_use).await
    }

    /// Gives all shards up. No lane may be under way.
    pub async fn leave(&self) {
        self.shards.leave().await;
    }

    /// Delivers one batch of a lane's pending events, oldest first, and records what became of them.
    /// A crash between the two delivers again, with the same ids.
    pub async fn round(&self, lane: &mut Lane) -> Result<Round, StoreError> {
        self.tell(lane).await?;
        // In use before it is looked up whose they are: what is given up meanwhile waits for us, and
        // what was given up before does not.
        let mut in_use = self.enter(lane.shards);
        let mine = self.mine().and(lane.shards);
        in_use.only(mine);
        if mine.is_empty() {
            return Ok(Round::default());
        }
        let mut pending = self.store.pending_events(mine, BATCH).await?;
        let more = pending.len() >= mine.share_of(BATCH) as usize;
        // To read may have taken longer than they are ours.
        let mine = self.mine();
        pending.retain(|event| mine.contains(shard_of(event.user)));
        if pending.is_empty() {
            return Ok(Round::default());
        }
        let batch: Vec<_> = pending.iter_mut().map(envelope).collect();
        let reports = self.sink.deliver(&batch).await;
        failpoint::passed(Step::Reported);
        let mut round = Round {
            more,
            ..Round::default()
        };
        let mut settled = Vec::with_capacity(pending.len());
        for (event, report) in pending.iter().zip(reports) {
            settle(event, report, &mut round, &mut settled);
        }
        if !settled.is_empty() {
            self.record(lane, &settled).await?;
            failpoint::passed(Step::Settled);
        }
        Ok(round)
    }

    fn enter(&self, shards: ShardSet) -> InUse<'_> {
        self.in_use.fetch_or(shards.bits(), Ordering::SeqCst);
        InUse {
            all: &self.in_use,
            shards,
        }
    }

    async fn record(
        &self,
        lane: &mut Lane,
        settled: &[(EventId, Delivered)],
    ) -> Result<(), StoreError> {
        let told = self.store.settle_events(settled, self.clock.now()).await;
        if told.is_err() {
            let has = |(id, delivered): &(EventId, Delivered)| {
                (*delivered == Delivered::Success).then_some(*id)
            };
            lane.untold = settled.iter().filter_map(has).collect();
        }
        told
    }

    /// Tells the store what it was not to be told before, so that nothing is delivered again only
    /// because of that. It is true whoever delivers by now.
    async fn tell(&self, lane: &mut Lane) -> Result<(), StoreError> {
        if lane.untold.is_empty() {
            return Ok(());
        }
        let settled: Vec<_> = mem::take(&mut lane.untold)
            .into_iter()
            .map(|id| (id, Delivered::Success))
            .collect();
        self.record(lane, &settled).await
    }
}

fn settle(
    event: &PendingEvent,
    report: Result<(), DeliveryError>,
    round: &mut Round,
    settled: &mut Vec<(EventId, Delivered)>,
) {
    match report {
        Ok(()) => {
            round.delivered += 1;
            settled.push((event.id, Delivered::Success));
        }
        // Says nothing about the message: not an attempt.
        Err(DeliveryError::Unreachable(why)) => {
            round.unreachable = true;
            tracing::debug!(event_id = %event.id, why, "event not delivered: the sink is away");
        }
        Err(DeliveryError::HeldBack) => round.refused += 1,
        Err(DeliveryError::Refused(why)) => {
            round.refused += 1;
            let last = event.attempts + 1 >= ATTEMPTS;
            let outcome = if last {
                Delivered::Failed
            } else {
                Delivered::Refused
            };
            settled.push((event.id, outcome));
            tracing::error!(
                event_id = %event.id,
                user_id = %event.user,
                attempt = event.attempts + 1,
                last,
                why,
                "the sink refused an event"
            );
        }
    }
}

/// Takes what is sent out of the event; what settles it stays.
fn envelope(event: &mut PendingEvent) -> Envelope {
    Envelope {
        id: event.id.as_uuid(),
        key: event.user.as_uuid(),
        kind: mem::take(&mut event.kind),
        payload: mem::take(&mut event.payload),
        traceparent: event.traceparent.take(),
        tracestate: event.tracestate.take(),
    }
}
