//! From a record's value to an event, by the schema that it was written by.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use prost::Message;
use sso_events::registration::RegistrationMessage;
use uuid::Uuid;

use super::{Event, Taken};
use crate::{
    registry::{Registry, RegistryError},
    wire,
};

/// What we understand.
const MESSAGE: &str = "Registration.v1.RegistrationMessage";
/// Most schemas that are remembered.
const REMEMBERED: usize = 1000;

/// Why there is no event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Undecoded {
    /// The registry does not answer: says nothing of the value.
    Later(String),
    /// The registry answers, and does not know the schema.
    UnknownSchema(u32),
    /// It will never be one.
    Poison(String),
}

/// A schema and the indexes of a message in it.
type Place = (u32, Vec<usize>);

/// Reads values.
#[derive(Debug)]
pub(super) struct Decoder {
    registry: Arc<Registry>,
    /// How long to wait for a schema that is not known.
    pub(super) patience: Duration,
    /// By schema and path: whether what is there is our message.
    judged: Mutex<HashMap<Place, Result<(), String>>>,
}

impl Decoder {
    pub(super) fn new(registry: Arc<Registry>, patience: Duration) -> Self {
        Self {
            registry,
            patience,
            judged: Mutex::default(),
        }
    }

    pub(super) async fn decode(&self, taken: &Taken) -> Result<Event, Undecoded> {
        let poison = |why: &str| Undecoded::Poison(why.to_owned());
        let framed = wire::unframe(&taken.value).map_err(|error| poison(&error.to_string()))?;
        if i32::try_from(framed.schema).is_err() {
            // An id is an `int` of Java: a registry that is asked for more says that there is no such route,
            // as what is no registry does.
            return Err(poison("it names no schema"));
        }
        self.judge(framed.schema, framed.path).await?;
        let message = RegistrationMessage::decode(framed.message)
            .map_err(|_| poison("the value is not of the schema that it names"))?;
        let id = Uuid::parse_str(&message.event_id).map_err(|_| poison("it has no event id"))?;
        let user = Uuid::parse_str(&message.user_id).map_err(|_| poison("it has no user id"))?;
        Ok(Event {
            id,
            user,
            message,
            traceparent: taken.header("traceparent"),
            tracestate: taken.header("tracestate"),
        })
    }

    async fn judge(&self, schema: u32, path: Vec<usize>) -> Result<(), Undecoded> {
        let place = (schema, path);
        let known = {
            let judged = self.judged.lock();
            let judged = judged.unwrap_or_else(PoisonError::into_inner);
            judged.get(&place).cloned()
        };
        if let Some(known) = known {
            return known.map_err(Undecoded::Poison);
        }
        let text = match self.registry.schema(schema).await {
            Ok(Some(text)) => text,
            Ok(None) => return Err(Undecoded::UnknownSchema(schema)),
            Err(RegistryError::Invalid(why)) => return Err(Undecoded::Poison(why)),
            Err(error) => return Err(Undecoded::Later(error.to_string())),
        };
        let found = examine(&text, schema, &place.1);
        let judged = self.judged.lock();
        let mut judged = judged.unwrap_or_else(PoisonError::into_inner);
        if judged.len() >= REMEMBERED {
            judged.clear();
        }
        judged.insert(place, found.clone());
        found.map_err(Undecoded::Poison)
    }
}

/// Whether the message at this path of the schema is ours.
fn examine(text: &str, schema: u32, path: &[usize]) -> Result<(), String> {
    let file = protox_parse::parse("schema.proto", text)
        .map_err(|_| format!("schema {schema} cannot be read"))?;
    let mut name = file.package().to_owned();
    let mut messages = &file.message_type;
    for index in path {
        let message = messages
            .get(*index)
            .ok_or_else(|| format!("schema {schema} has no message at {path:?}"))?;
        if !name.is_empty() {
            name.push('.');
        }
        name.push_str(message.name());
        messages = &message.nested_type;
    }
    if name == MESSAGE {
        Ok(())
    } else {
        Err(format!("schema {schema} is of {name}, not of {MESSAGE}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::REGISTRATION_SCHEMA;

    #[test]
    fn the_path_leads_to_the_message_of_the_writer() {
        assert_eq!(examine(REGISTRATION_SCHEMA, 1, &[0]), Ok(()));
        let moved = "syntax = \"proto3\"; package Registration.v1;
            message Other { message Inner {} } message RegistrationMessage { string Email = 1; }";
        assert_eq!(examine(moved, 1, &[1]), Ok(()));
        for (path, told) in [
            (&[0][..], "is of Registration.v1.Other,"),
            (&[0, 0], "is of Registration.v1.Other.Inner,"),
            (&[2], "no message at [2]"),
            (&[1, 0], "no message at [1, 0]"),
        ] {
            let why = examine(moved, 1, path).unwrap_err();
            assert!(why.contains(told), "{why}");
        }
        assert!(
            examine("{}", 1, &[0])
                .unwrap_err()
                .contains("cannot be read")
        );
    }
}
