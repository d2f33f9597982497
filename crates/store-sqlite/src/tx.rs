//! Transactions of several steps.

use std::sync::{
    Arc,
    mpsc::{Sender, channel},
};

use async_trait::async_trait;
use rusqlite::Connection;
use sso_core::{
    audit::Journal,
    ports::{
        StoreError, Tx,
        store::{NewEvent, NewSession, NewUser, Session, User},
    },
};
use tokio::sync::oneshot;
use tracing::Span;

use crate::{
    fault::Fault,
    login,
    store::Shared,
    writer::{Message, rolled_back},
};

/// A transaction. It takes the writing thread with its first step, not before.
pub(crate) struct SqliteTx {
    shared: Arc<Shared>,
    steps: Option<Sender<Message>>,
    pub(crate) journal: Journal,
}

impl SqliteTx {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            steps: None,
            journal: Journal::default(),
        }
    }

    /// Runs a statement inside the transaction. If it fails the transaction is over.
    pub(crate) async fn step<T: Send + 'static>(
        &mut self,
        step: impl FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (send, answered) = oneshot::channel();
        let span = Span::current();
        let message = Message::Step(Box::new(move |connection| {
            let result = connection
                .map_err(StoreError::from)
                .and_then(|connection| Ok(span.in_scope(|| step(connection))?));
            let succeeded = result.is_ok();
            // A caller who has gone has dropped the transaction, or will commit what it asked for.
            let _ = send.send(result);
            succeeded
        }));
        if let Some(steps) = &self.steps {
            steps.send(message).map_err(|_| rolled_back())?;
        } else {
            // A step waits for the one before it, so the channel is short without a bound. With one
            // it would keep a step that comes when the transaction ends, and never answer it.
            let (steps, rest) = channel();
            self.steps = Some(steps);
            self.shared.writer.transaction(message, rest).await?;
        }
        answered.await.map_err(|_| rolled_back())?
    }
}

#[async_trait]
impl Tx for SqliteTx {
    async fn register(
        &mut self,
        user: &NewUser,
        event: &NewEvent,
        session: Option<&NewSession>,
    ) -> Result<(User, Option<Session>), StoreError> {
        let (user, event, session) = (user.clone(), event.clone(), session.cloned());
        self.step(move |connection| login::register(connection, &user, &event, session.as_ref()))
            .await
    }

    async fn commit(self: Box<Self>) -> Result<(), StoreError> {
        let Self { steps, journal, .. } = *self;
        let Some(steps) = steps else {
            return Ok(());
        };
        let (reply, answered) = oneshot::channel();
        steps
            .send(Message::Commit(reply))
            .map_err(|_| rolled_back())?;
        answered.await.map_err(|_| rolled_back())??;
        journal.committed();
        Ok(())
    }
}
