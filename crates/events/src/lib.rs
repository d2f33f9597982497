//! The published language of `sso`: what other services read when something has happened.
//!
//! The messages are protobuf (`proto/registration/v1`). An [`Envelope`] carries one with what a
//! transport needs, an [`EventSink`] takes envelopes: the log when embedded, Kafka elsewhere.

mod envelope;
pub mod failpoint;
mod log;
mod sink;

use prost::Message;
use time::OffsetDateTime;

pub use envelope::Envelope;
pub use log::LogSink;
pub use sink::{DeliveryError, EventSink};

/// Package `Registration.v1`, generated from `proto/registration/v1/registration.proto`.
pub mod registration {
    #![allow(missing_docs, clippy::all, clippy::pedantic, reason = "generated")]
    include!(concat!(env!("OUT_DIR"), "/registration.v1.rs"));
}

/// `type` of a registration's event.
pub const REGISTRATION: &str = "registration";

/// What a registration tells the world.
#[derive(Debug)]
pub struct Registered<'a> {
    /// The event's id.
    pub event_id: uuid::Uuid,
    /// The user's id.
    pub user_id: uuid::Uuid,
    /// As typed.
    pub email: &'a str,
    /// As typed.
    pub name: Option<&'a str>,
    /// When.
    pub at: OffsetDateTime,
}

/// Encodes the event of a registration.
pub fn encode_registration(event: &Registered<'_>) -> Vec<u8> {
    registration::RegistrationMessage {
        email: event.email.to_owned(),
        full_name: event.name.unwrap_or_default().to_owned(),
        event_id: event.event_id.to_string(),
        user_id: event.user_id.to_string(),
        registered_at: Some(prost_types::Timestamp {
            seconds: event.at.unix_timestamp(),
            nanos: i32::try_from(event.at.nanosecond()).unwrap_or(0),
        }),
        r#type: REGISTRATION.to_owned(),
    }
    .encode_to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;
    use uuid::Uuid;

    #[test]
    fn a_registration_keeps_the_field_numbers_of_the_first_consumers() {
        let bytes = encode_registration(&Registered {
            event_id: Uuid::from_u128(1),
            user_id: Uuid::from_u128(2),
            email: "a@b",
            name: None,
            at: datetime!(2026-01-02 03:04:05.000006 UTC),
        });
        let read = registration::RegistrationMessage::decode(bytes.as_slice()).unwrap();
        // Field 1, length-delimited, 3 bytes: `Email`; no field 2, because there is no name.
        assert_eq!(&bytes[..5], b"\x0a\x03a@b");
        assert_eq!(bytes[5], 3 << 3 | 2);
        assert_eq!(read.full_name, "");
        assert_eq!(read.user_id, Uuid::from_u128(2).to_string());
        assert_eq!(read.registered_at.unwrap().nanos, 6_000);
        assert_eq!(read.r#type, "registration");
    }
}
