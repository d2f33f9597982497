//! What administrators see of events, and say of those that failed.

use crate::{
    caller::{Caller, NotAllowed},
    failure::{BadFields, Failure, FieldError, Fields, Kind},
    ports::{
        StoreError,
        store::{AuditAction, EventPage, EventStatus, Moved, NewAudit, StoredEvent},
    },
    sso::Sso,
    usecases::paging::{self, Ask, Page},
    values::EventId,
};

/// Why nothing was done.
#[derive(Debug, thiserror::Error)]
pub enum EventsError {
    /// Not an administrator.
    #[error(transparent)]
    NotAllowed(#[from] NotAllowed),
    /// A field is bad.
    #[error(transparent)]
    Invalid(#[from] BadFields),
    /// No such event.
    #[error("event not found")]
    NotFound,
    /// It is delivered, or is being delivered, or was skipped.
    #[error("{}", not_failed(.0))]
    NotFailed(Box<StoredEvent>),
    /// The store did not do it, or its answer was lost.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn not_failed(event: &StoredEvent) -> &'static str {
    match (event.status, event.skipped_at) {
        (EventStatus::InProgress, _) => "the event is in progress: it has not failed",
        (EventStatus::Success, _) => "the event is delivered: it has not failed",
        (EventStatus::Failed, _) => "the event was skipped, which is final",
    }
}

impl From<EventsError> for Failure {
    fn from(error: EventsError) -> Self {
        match error {
            EventsError::NotAllowed(error) => error.into(),
            EventsError::Invalid(bad) => bad.into(),
            EventsError::NotFound => Self::new(Kind::NotFound, "not_found", "event not found"),
            EventsError::NotFailed(event) => {
                Self::new(Kind::Precondition, "event_not_failed", not_failed(&event))
            }
            EventsError::Store(error) => error.into(),
        }
    }
}

/// A page of events in the order they were stored. `status` is one of the contract's names; `""`
/// is all.
pub async fn page(
    sso: &Sso,
    caller: &Caller,
    status: &str,
    ask: Ask<'_>,
    mut fields: Fields,
) -> Result<Page<StoredEvent>, EventsError> {
    caller.may_administer_events()?;
    let query = format!("events {status}");
    let status = fields.optional("status", Some(status), |name| {
        EventStatus::parse(name).ok_or_else(|| {
            let why = "status must be inProgress, Success or Failed";
            FieldError::new("status", "invalid_status", why)
        })
    });
    let read = |place: &[u8]| place.try_into().ok().map(i64::from_be_bytes);
    let (after, size) = paging::parse(sso, &query, ask, read, fields)?;
    let page = EventPage {
        status,
        after: after.unwrap_or(0),
        // One more tells whether there is a next page.
        limit: size + 1,
    };
    let events = sso.store.events(page).await?;
    Ok(paging::cut(sso, &query, events, size, |event| {
        event.sequence.to_be_bytes().to_vec()
    }))
}

/// Parses the id of an event.
pub fn parse_id(id: &str, mut fields: Fields) -> Result<EventId, BadFields> {
    let id = fields.required("event_id", Some(id), |text| {
        EventId::parse(text)
            .map_err(|_| FieldError::new("event_id", "invalid_id", "event_id must be a UUID"))
    });
    fields.finish(id)
}

/// Has a failed event delivered again, and with it what it held back.
pub async fn resend(
    sso: &Sso,
    caller: &Caller,
    event: EventId,
) -> Result<StoredEvent, EventsError> {
    caller.may_administer_events()?;
    let mut tx = sso.store.begin().await?;
    let event = moved(tx.resend_event(event).await?)?;
    let record = of_event(sso, caller, AuditAction::EventResend, &event);
    tx.append_audit(&record).await?;
    tx.commit().await?;
    (sso.nudge)(event.user);
    Ok(event)
}

/// Gives a failed event up, for good: its user's later ones go on without it.
pub async fn skip(sso: &Sso, caller: &Caller, event: EventId) -> Result<StoredEvent, EventsError> {
    caller.may_administer_events()?;
    let mut tx = sso.store.begin().await?;
    let event = moved(tx.skip_event(event, sso.now()).await?)?;
    let record = of_event(sso, caller, AuditAction::EventSkip, &event);
    tx.append_audit(&record).await?;
    tx.commit().await?;
    (sso.nudge)(event.user);
    Ok(event)
}

fn of_event(sso: &Sso, caller: &Caller, action: AuditAction, event: &StoredEvent) -> NewAudit {
    let record = sso.record(caller, action).about(event.user);
    record.with(format!("event {}", event.id))
}

fn moved(moved: Moved) -> Result<StoredEvent, EventsError> {
    match moved {
        Moved::Now(event) => Ok(event),
        Moved::Not(event) => Err(EventsError::NotFailed(Box::new(event))),
        Moved::Unknown => Err(EventsError::NotFound),
    }
}
