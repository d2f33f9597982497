//! From a record's value to an event, by the schema that it was written by.

use std::{sync::Arc, time::Duration};

use prost::Message;
use sso_events::registration::RegistrationMessage;
use uuid::Uuid;

use super::{Event, Taken, schemas::Schemas};
use crate::{registry::Registry, wire};

/// Reads values.
#[derive(Debug)]
pub(super) struct Decoder {
    schemas: Schemas,
}

impl Decoder {
    /// Waits that long for a schema that the registry does not know.
    pub(super) fn new(registry: Arc<Registry>, patience: Duration) -> Self {
        Self {
            schemas: Schemas::new(registry, patience),
        }
    }

    /// The event, or why there will never be one. Returns neither while the registry is away.
    pub(super) async fn decode(&self, taken: &Taken) -> Result<Event, String> {
        let framed = wire::unframe(&taken.value).map_err(|error| error.to_string())?;
        self.schemas.judge((framed.schema, framed.path)).await?;
        event(taken, framed.message)
    }
}

/// What a record tells whose message is of our schema.
pub(super) fn event(taken: &Taken, message: &[u8]) -> Result<Event, String> {
    let message = RegistrationMessage::decode(message)
        .map_err(|_| "the value is not of the schema that it names")?;
    let id = Uuid::parse_str(&message.event_id).map_err(|_| "it has no event id")?;
    let user = Uuid::parse_str(&message.user_id).map_err(|_| "it has no user id")?;
    Ok(Event {
        id,
        user,
        message,
        traceparent: taken.header("traceparent"),
        tracestate: taken.header("tracestate"),
    })
}
