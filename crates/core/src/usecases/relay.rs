//! The relay: takes events from the outbox to the sink, until the sink has them.

use std::sync::Arc;

use sso_events::{DeliveryError, Envelope, EventSink};

use crate::{
    ports::{
        Clock, Store, StoreError,
        store::{Delivered, PendingEvent},
    },
    values::EventId,
};

/// Events of one round: bounds memory and the transaction that settles them.
const BATCH: u32 = 256;
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

/// Delivers one batch of pending events, oldest first, and records what became of them. A crash
/// between the two delivers again, with the same ids.
pub async fn deliver_pending(
    store: &dyn Store,
    sink: &dyn EventSink,
    clock: &Arc<dyn Clock>,
) -> Result<Round, StoreError> {
    let pending = store.pending_events(BATCH).await?;
    if pending.is_empty() {
        return Ok(Round::default());
    }
    let batch: Vec<_> = pending.iter().map(envelope).collect();
    let reports = sink.deliver(&batch).await;

    let mut round = Round {
        more: pending.len() >= BATCH as usize,
        ..Round::default()
    };
    let mut settled = Vec::with_capacity(pending.len());
    for (event, report) in pending.iter().zip(reports) {
        settle(event, report, &mut round, &mut settled);
    }
    if !settled.is_empty() {
        store.settle_events(&settled, clock.now()).await?;
    }
    Ok(round)
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

fn envelope(event: &PendingEvent) -> Envelope {
    Envelope {
        id: event.id.as_uuid(),
        key: event.user.as_uuid(),
        kind: event.kind.clone(),
        payload: event.payload.clone(),
        traceparent: event.traceparent.clone(),
        tracestate: event.tracestate.clone(),
    }
}
