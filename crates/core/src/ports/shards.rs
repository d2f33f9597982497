//! Which instance delivers which events.

use async_trait::async_trait;

use super::StoreError;
use crate::values::ShardSet;

/// The shards of the outbox that this instance delivers: each is one instance's at a time.
///
/// That spares duplicates. Order does not hang on it: a user's event is sent only when the one
/// before it is acknowledged to the sender or stands as `Success`, whoever sent it.
#[async_trait]
pub trait Shards: Send + Sync {
    /// Those whose delivery may begin now. One is given up here before anybody else can take it, by
    /// this process's own clock.
    fn mine(&self) -> ShardSet;

    /// Keeps what is held, takes what is free, and gives up what others should have. `in_use` was
    /// looked up after the call before this one had ended: what is given up and in it stays locked.
    /// To be called again and again; an error means that nothing is held.
    async fn tend(&self, in_use: ShardSet) -> Result<(), StoreError>;

    /// Gives all up: nothing is in use any more.
    async fn leave(&self);
}

/// All shards, always: of a store that one process serves.
#[derive(Debug, Clone, Copy, Default)]
pub struct AllShards;

#[async_trait]
impl Shards for AllShards {
    fn mine(&self) -> ShardSet {
        ShardSet::ALL
    }

    async fn tend(&self, _: ShardSet) -> Result<(), StoreError> {
        Ok(())
    }

    async fn leave(&self) {}
}
