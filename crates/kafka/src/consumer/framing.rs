//! Dead letters whose schema is lost: a registry that lost its data gives ours another id, and the old one to
//! nobody or to anybody. They are framed anew.

use std::collections::HashMap;

use sso_events::REGISTRATION;

use super::{
    Taken,
    dead_letter::EVENT_ID,
    decode,
    schemas::{self, Place},
};
use crate::{REGISTRATION_SCHEMA, registry::Registry, subject_of, wire};

/// Frames letters anew, by what a registry says now.
pub(super) struct Framing<'a> {
    registry: &'a Registry,
    /// Whether what is at a place is our message.
    ours: HashMap<Place, bool>,
    /// By topic: the id of our schema.
    ids: HashMap<String, u32>,
}

impl<'a> Framing<'a> {
    pub(super) fn new(registry: &'a Registry) -> Self {
        Self {
            registry,
            ours: HashMap::new(),
            ids: HashMap::new(),
        }
    }

    /// The value of a letter that came from this topic with another id. `None`: it can go as it is, or nothing
    /// but its frame says what it is.
    pub(super) async fn anew(
        &mut self,
        taken: &Taken,
        topic: &str,
    ) -> Result<Option<Vec<u8>>, String> {
        let Ok(framed) = wire::unframe(&taken.value) else {
            return Ok(None);
        };
        if !tells_itself(taken, framed.message) {
            return Ok(None);
        }
        let before = framed.schema;
        if self.is_ours((before, framed.path)).await? {
            return Ok(None);
        }
        let now = self.id(topic).await?;
        tracing::warn!(before, now, "a dead letter goes with another schema's id");
        Ok(Some(wire::frame(now, framed.message)))
    }

    async fn is_ours(&mut self, place: Place) -> Result<bool, String> {
        if let Some(known) = self.ours.get(&place) {
            return Ok(*known);
        }
        let judged = schemas::look(self.registry, &place).await;
        let judged = judged.map_err(|error| error.to_string())?;
        let ours = judged == Some(Ok(()));
        self.ours.insert(place, ours);
        Ok(ours)
    }

    /// Not registered here: that is for who writes events.
    async fn id(&mut self, topic: &str) -> Result<u32, String> {
        if let Some(known) = self.ids.get(topic) {
            return Ok(*known);
        }
        let subject = subject_of(topic);
        let found = self.registry.look_up(&subject, REGISTRATION_SCHEMA).await;
        let found = found.map_err(|error| error.to_string())?;
        let found = found.ok_or_else(|| {
            format!(
                "the dead letter names a schema that is lost, and the schema registry has not ours \
                 under the subject {subject} either: it has it after the next event"
            )
        })?;
        self.ids.insert(topic.to_owned(), found.id);
        Ok(found.id)
    }
}

/// Whether a message says by itself that it is of our schema: its kind, and in their places the ids of event
/// and user that the record has as header and key. Who can forge that can frame it rightly as well. Versions
/// of our schema read each other, so that any of them may name it.
fn tells_itself(taken: &Taken, message: &[u8]) -> bool {
    decode::event(taken, message).is_ok_and(|event| {
        event.message.r#type == REGISTRATION
            && taken.header(EVENT_ID).as_deref() == Some(&*event.message.event_id)
            && taken.key == event.message.user_id.as_bytes()
    })
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use sso_events::registration::RegistrationMessage;

    use super::*;

    const EVENT: &str = "00000000-0000-0000-0000-000000000001";
    const USER: &str = "00000000-0000-0000-0000-000000000002";

    fn message() -> RegistrationMessage {
        RegistrationMessage {
            event_id: EVENT.to_owned(),
            user_id: USER.to_owned(),
            r#type: REGISTRATION.to_owned(),
            ..RegistrationMessage::default()
        }
    }

    fn taken(key: &str, event: &str) -> Taken {
        Taken {
            partition: 0,
            offset: 0,
            key: key.into(),
            value: Vec::new(),
            headers: vec![(EVENT_ID.to_owned(), event.into())],
        }
    }

    #[test]
    fn a_message_tells_itself_by_its_kind_and_the_ids_of_its_record() {
        let right = message().encode_to_vec();
        assert!(tells_itself(&taken(USER, EVENT), &right));
        assert!(!tells_itself(&taken(EVENT, EVENT), &right));
        assert!(!tells_itself(&taken(USER, USER), &right));
        let without = Taken {
            headers: Vec::new(),
            ..taken(USER, EVENT)
        };
        assert!(!tells_itself(&without, &right));
        let other = RegistrationMessage {
            r#type: "departure".to_owned(),
            ..message()
        };
        assert!(!tells_itself(&taken(USER, EVENT), &other.encode_to_vec()));
        for nonsense in [&b""[..], b"\xff\xff"] {
            assert!(!tells_itself(&taken(USER, EVENT), nonsense));
            assert!(!tells_itself(&taken("", ""), nonsense));
        }
    }
}
