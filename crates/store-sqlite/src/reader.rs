//! Threads that read, each over a read-only connection of its own.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError},
};

use rusqlite::Connection;
use sso_core::ports::StoreError;
use tokio::sync::{mpsc::UnboundedReceiver, oneshot};
use tracing::Span;

use crate::{
    Limits,
    fault::{Fault, Stopped},
    queue::{Queue, Queued, Thread},
};

type Read = Box<dyn FnOnce(&Connection) + Send>;

/// A few reading threads behind one queue.
pub(crate) struct Readers {
    // Before the threads: they end when it is dropped.
    queue: Queue<Read>,
    threads: Vec<Thread>,
}

impl Readers {
    /// Starts a thread for each connection.
    pub(crate) fn start(
        name: &str,
        connections: Vec<Connection>,
        limits: &Limits,
    ) -> Result<Self, std::io::Error> {
        let (queue, receiver) = Queue::new(limits.queue, limits.patience);
        let receiver = Arc::new(Mutex::new(receiver));
        let threads = connections
            .into_iter()
            .map(|connection| {
                let receiver = Arc::clone(&receiver);
                Thread::spawn(name, move || serve(&connection, &receiver))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { queue, threads })
    }

    /// Reads what is committed now.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let span = Span::current();
        self.queue
            .push(Box::new(move |connection| {
                // Nobody reads for a caller who has gone.
                if !answer.is_closed() {
                    let _ = answer.send(span.in_scope(|| read(connection)));
                }
            }))
            .await?;
        let result = answered
            .await
            .map_err(|_| StoreError::unavailable(Stopped))?;
        Ok(result?)
    }

    pub(crate) fn are_running(&self) -> bool {
        self.threads.iter().all(Thread::is_running)
    }
}

/// One thread waits for the next request, the others wait for their turn to.
fn next(queue: &Mutex<UnboundedReceiver<Queued<Read>>>) -> Option<Queued<Read>> {
    let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
    queue.blocking_recv()
}

fn serve(connection: &Connection, queue: &Mutex<UnboundedReceiver<Queued<Read>>>) {
    while let Some(Queued { request, place }) = next(queue) {
        // Who asked is told that there is no answer; the thread has others to serve.
        let _ = catch_unwind(AssertUnwindSafe(|| request(connection)));
        drop(place);
    }
}
