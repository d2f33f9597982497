use async_trait::async_trait;

use crate::Envelope;

/// Takes events.
#[async_trait]
pub trait EventSink: Send + Sync {
    /// Delivers a batch, in its order for each key, and says for each envelope, in the batch's
    /// order, what became of it. An error of one holds back the later ones of its key.
    async fn deliver(&self, batch: &[Envelope]) -> Vec<Result<(), DeliveryError>>;
}

/// Why an event was not delivered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeliveryError {
    /// The sink is away. Says nothing about the message: try again, for however long.
    #[error("the sink is away: {0}")]
    Unreachable(String),
    /// The sink refuses this message: too large, or not of the schema.
    #[error("the sink refused the event: {0}")]
    Refused(String),
    /// An earlier event of the same key was not delivered.
    #[error("an earlier event of the same key was not delivered")]
    HeldBack,
}
