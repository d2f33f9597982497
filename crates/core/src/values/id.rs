//! Identifiers: UUIDs of version 7 (RFC 9562, 5.7), so that rows of one time lie together.

use std::fmt;

use uuid::Uuid;

/// Not the 36 characters of a UUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a UUID of 36 characters")]
pub struct MalformedId;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Uuid);

        impl $name {
            /// Parses the hyphenated form of 36 characters, and no other.
            pub fn parse(text: &str) -> Result<Self, MalformedId> {
                if text.len() != 36 {
                    return Err(MalformedId);
                }
                Uuid::try_parse(text).map(Self).map_err(|_| MalformedId)
            }

            /// The id with this UUID.
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The UUID of this id.
            pub const fn as_uuid(&self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }
    };
}

id!(
    /// A user: `sub` and `uid` of his tokens.
    UserId
);
id!(
    /// A session: `sid` of its tokens.
    SessionId
);
id!(
    /// An event, the same through all its deliveries.
    EventId
);

id!(
    /// A signing key, named by a digest of its `kid`: a UUID of version 8 (RFC 9562, 5.8).
    KeyTag
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_hyphenated_form_is_an_id() {
        let text = "01932c07-9d2f-7cc4-8f7e-31b5d1a2a001";
        assert_eq!(UserId::parse(text).unwrap().to_string(), text);
        for bad in [
            "",
            "x",
            "01932c079d2f7cc48f7e31b5d1a2a001",
            "{01932c07-9d2f-7cc4-8f7e-31b5d1a2a001}",
        ] {
            assert_eq!(UserId::parse(bad), Err(MalformedId), "{bad}");
        }
    }
}
