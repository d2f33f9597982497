use std::fmt;

use uuid::Uuid;

/// An encoded event on its way.
#[derive(Clone, PartialEq, Eq)]
pub struct Envelope {
    /// The same through all deliveries.
    pub id: Uuid,
    /// The user's id: what the events of one user are ordered by.
    pub key: Uuid,
    /// `registration`
    pub kind: String,
    /// The message, protobuf.
    pub payload: Vec<u8>,
    /// W3C Trace Context of the request that caused it.
    pub traceparent: Option<String>,
    /// W3C Trace Context of the request that caused it.
    pub tracestate: Option<String>,
}

/// Without the payload: it holds personal data.
impl fmt::Debug for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Envelope")
            .field("id", &self.id)
            .field("key", &self.key)
            .field("kind", &self.kind)
            .field("bytes", &self.payload.len())
            .finish_non_exhaustive()
    }
}
