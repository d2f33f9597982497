//! The way from asynchronous callers to a database thread: bounded in length and in waiting.

use std::{sync::Arc, thread, time::Duration};

use sso_core::ports::StoreError;
use tokio::sync::{
    OwnedSemaphorePermit, Semaphore,
    mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
};

use crate::fault::{Crowded, Stopped};

/// SQLite needs little; the debug build's frames are large.
const STACK_BYTES: usize = 1 << 20;

/// A request and its place in the queue, which is free again when this is dropped.
pub(crate) struct Queued<R> {
    pub(crate) request: R,
    pub(crate) place: OwnedSemaphorePermit,
}

/// The callers' end.
pub(crate) struct Queue<R> {
    sender: UnboundedSender<Queued<R>>,
    places: Arc<Semaphore>,
    patience: Duration,
}

impl<R> Queue<R> {
    /// A queue with this many places. Who finds none waits for `patience` and is then refused.
    pub(crate) fn new(places: usize, patience: Duration) -> (Self, UnboundedReceiver<Queued<R>>) {
        // The places are the bound. What is in this channel when the thread is gone is dropped, so
        // that nobody waits for ever; and a thread that waits for it sleeps at once. Channels that
        // spin first (std's, crossbeam's) take that time from the hashes.
        let (sender, receiver) = unbounded_channel();
        let queue = Self {
            sender,
            places: Arc::new(Semaphore::new(places)),
            patience,
        };
        (queue, receiver)
    }

    /// Sends `request` to the thread.
    pub(crate) async fn push(&self, request: R) -> Result<(), StoreError> {
        let place = match Arc::clone(&self.places).try_acquire_owned() {
            Ok(place) => place,
            Err(_) => self.wait_for_place().await?,
        };
        self.sender
            .send(Queued { request, place })
            .map_err(|_| StoreError::unavailable(Stopped))
    }

    async fn wait_for_place(&self) -> Result<OwnedSemaphorePermit, StoreError> {
        tokio::time::timeout(self.patience, Arc::clone(&self.places).acquire_owned())
            .await
            .map_err(|_| StoreError::unavailable(Crowded))?
            .map_err(|_| StoreError::unavailable(Stopped))
    }
}

/// A thread that is waited for when this is dropped. Drop what makes it end first.
pub(crate) struct Thread(Option<thread::JoinHandle<()>>);

impl Thread {
    pub(crate) fn spawn(
        name: &str,
        body: impl FnOnce() + Send + 'static,
    ) -> Result<Self, std::io::Error> {
        thread::Builder::new()
            .name(name.to_owned())
            .stack_size(STACK_BYTES)
            .spawn(body)
            .map(|handle| Self(Some(handle)))
    }

    pub(crate) fn is_running(&self) -> bool {
        self.0.as_ref().is_some_and(|handle| !handle.is_finished())
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        if self.0.take().is_some_and(|handle| handle.join().is_err()) {
            tracing::error!("a database thread panicked");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_finds_no_place_is_refused_after_the_patience_and_served_when_one_is_free() {
        let (queue, mut receiver) = Queue::new(1, Duration::from_millis(20));
        queue.push(1).await.unwrap();
        assert!(matches!(
            queue.push(2).await,
            Err(StoreError::Unavailable(_))
        ));
        drop(receiver.try_recv().unwrap());
        queue.push(3).await.unwrap();
        assert_eq!(receiver.try_recv().unwrap().request, 3);
    }

    #[tokio::test]
    async fn what_waits_when_the_thread_ends_is_dropped_with_its_answer() {
        let (queue, receiver) = Queue::new(2, Duration::from_millis(20));
        let (answer, answered) = tokio::sync::oneshot::channel::<()>();
        queue.push(answer).await.unwrap();
        drop(receiver);
        assert!(answered.await.is_err());
        drop(queue);
    }

    #[tokio::test]
    async fn a_queue_whose_thread_is_gone_is_unavailable() {
        let (queue, receiver) = Queue::new(1, Duration::from_millis(20));
        drop(receiver);
        assert!(matches!(
            queue.push(1).await,
            Err(StoreError::Unavailable(_))
        ));
    }
}
