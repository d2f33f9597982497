//! The outbox, and the rules of an event.

use sso_core::{
    ports::{
        StoreError,
        store::{
            Backlog, Constraint, Delivered, EventPage, EventStatus, Moved, NewEvent, PendingEvent,
            StoredEvent,
        },
    },
    values::{EventId, ShardSet, shard_of},
};
use time::OffsetDateTime;

use super::state::State;

/// An event with what became of it.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub(super) status: EventStatus,
    pub(super) skipped_at: Option<OffsetDateTime>,
    pub(super) event: PendingEvent,
    pub(super) delivered_at: Option<OffsetDateTime>,
}

impl Kept {
    fn waits_for_a_person(&self) -> bool {
        self.status == EventStatus::Failed && self.skipped_at.is_none()
    }

    fn stored(&self) -> StoredEvent {
        StoredEvent {
            sequence: self.event.sequence,
            id: self.event.id,
            user: self.event.user,
            kind: self.event.kind.clone(),
            status: self.status,
            skipped_at: self.skipped_at,
            attempts: self.event.attempts,
            created_at: self.event.created_at,
        }
    }
}

impl State {
    pub(super) fn append_event(&mut self, new: &NewEvent) -> Result<(), StoreError> {
        if self.outbox.iter().any(|stored| stored.event.id == new.id) {
            return Err(StoreError::Conflict(Constraint::Id));
        }
        let event = PendingEvent {
            sequence: self.remains.next(),
            id: new.id,
            user: new.user,
            kind: new.kind.to_owned(),
            payload: new.payload.clone(),
            attempts: 0,
            created_at: new.created_at,
            traceparent: new.traceparent.clone(),
            tracestate: new.tracestate.clone(),
        };
        self.outbox.push(Kept {
            status: EventStatus::InProgress,
            skipped_at: None,
            event,
            delivered_at: None,
        });
        Ok(())
    }

    pub(super) fn pending_events(&self, shards: ShardSet, limit: u32) -> Vec<PendingEvent> {
        let held_back = |event: &PendingEvent| {
            self.waiting()
                .any(|failed| failed.user == event.user && failed.sequence < event.sequence)
        };
        self.of(EventStatus::InProgress)
            .filter(|event| shards.contains(shard_of(event.user)) && !held_back(event))
            .take(limit as usize)
            .cloned()
            .collect()
    }

    pub(super) fn settle_event(&mut self, id: EventId, delivered: Delivered, now: OffsetDateTime) {
        let Some(stored) = self.outbox.iter_mut().find(|stored| stored.event.id == id) else {
            return;
        };
        match (delivered, stored.status) {
            (Delivered::Success, EventStatus::Success) => {}
            (Delivered::Success, _) => {
                stored.status = EventStatus::Success;
                stored.skipped_at = None;
                stored.delivered_at = Some(now);
                if self.remains.is_deleted(stored.event.user) {
                    stored.event.payload.clear();
                }
            }
            (Delivered::Refused, EventStatus::InProgress) => stored.event.attempts += 1,
            (Delivered::Failed, EventStatus::InProgress) => {
                stored.event.attempts += 1;
                stored.status = EventStatus::Failed;
            }
            (Delivered::Refused | Delivered::Failed, _) => {}
        }
    }

    pub(super) fn events(&self, page: EventPage) -> Vec<StoredEvent> {
        self.outbox
            .iter()
            .filter(|stored| page.status.is_none_or(|status| status == stored.status))
            .filter(|stored| stored.event.sequence > page.after)
            .take(page.limit as usize)
            .map(Kept::stored)
            .collect()
    }

    pub(super) fn resend_event(&mut self, id: EventId) -> Moved {
        self.move_event(id, |stored| {
            stored.status = EventStatus::InProgress;
            stored.event.attempts = 0;
        })
    }

    pub(super) fn skip_event(&mut self, id: EventId, now: OffsetDateTime) -> Moved {
        self.move_event(id, |stored| stored.skipped_at = Some(now))
    }

    fn move_event(&mut self, id: EventId, change: impl FnOnce(&mut Kept)) -> Moved {
        match self.outbox.iter_mut().find(|stored| stored.event.id == id) {
            None => Moved::Unknown,
            Some(stored) if stored.waits_for_a_person() => {
                change(stored);
                Moved::Now(stored.stored())
            }
            Some(stored) => Moved::Not(stored.stored()),
        }
    }

    pub(super) fn backlog(&self) -> Backlog {
        Backlog {
            in_progress: self.of(EventStatus::InProgress).count() as u64,
            failed: self.waiting().count() as u64,
            oldest: self
                .of(EventStatus::InProgress)
                .next()
                .map(|event| event.created_at),
        }
    }

    fn waiting(&self) -> impl Iterator<Item = &PendingEvent> {
        let failed = self.outbox.iter().filter(|one| one.waits_for_a_person());
        failed.map(|one| &one.event)
    }

    fn of(&self, status: EventStatus) -> impl Iterator<Item = &PendingEvent> {
        self.outbox
            .iter()
            .filter(move |stored| stored.status == status)
            .map(|stored| &stored.event)
    }
}
