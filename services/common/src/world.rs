//! Time and chance: the only place that asks for them. Nothing in a service's rules depends on either
//! but ages and names, so that there is no port for them.

use time::OffsetDateTime;
use uuid::Uuid;

/// Now.
#[expect(clippy::disallowed_methods, reason = "the one place")]
pub fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}

/// A new id.
#[expect(clippy::disallowed_methods, reason = "the one place")]
pub fn new_id() -> Uuid {
    Uuid::now_v7()
}
