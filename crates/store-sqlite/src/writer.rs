//! The one thread that writes: group commit.
//!
//! The first waiting request opens a transaction; each request that waits by then, up to a bound,
//! runs inside a savepoint of its own; then one COMMIT, one fsync, makes all of them durable, and
//! only then are they answered. What fails is undone to its savepoint and spoils nobody else's. If
//! the COMMIT fails, all of them have failed. Nothing waits for more work to come: with one client
//! a group is one request, with many it grows to what arrived during the last fsync.
//!
//! A [`Transaction`](Request::Transaction) has the thread for itself until it commits, is dropped,
//! or is idle for too long.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::Duration,
};

use rusqlite::Connection;
use sso_core::ports::StoreError;
use sso_telemetry::statements::Family;
use tokio::sync::{mpsc::UnboundedReceiver, oneshot};
use tracing::Span;

use crate::{
    Limits,
    fault::{Fault, Refused, RolledBack, Stopped},
    folder::Folder,
    queue::{Queue, Queued, Thread},
};

const BEGIN: &str = "BEGIN IMMEDIATE";
const COMMIT: &str = "COMMIT";
const ROLLBACK: &str = "ROLLBACK";
const OPEN: &str = "SAVEPOINT request";
const KEEP: &str = "RELEASE request";
const UNDO: &str = "ROLLBACK TO request";

/// Answers one request, once it is known whether its group was committed.
type Answer = Box<dyn FnOnce(Result<(), Refused>) + Send>;

/// What a request left behind.
pub(crate) struct Done {
    /// Whether its changes are to be kept.
    keep: bool,
    answer: Answer,
}

/// A request of one message. It is given the connection, or why there is none.
type Single = Box<dyn FnOnce(Result<&Connection, Refused>) -> Done + Send>;

/// A step of a transaction, answered at once; says whether it succeeded.
pub(crate) type Step = Box<dyn FnOnce(Result<&Connection, Refused>) -> bool + Send>;

/// A message of a transaction.
pub(crate) enum Message {
    Step(Step),
    Commit(oneshot::Sender<Result<(), StoreError>>),
}

pub(crate) enum Request {
    Single(Single),
    /// Begins with its first message; the others follow through the channel.
    Transaction(Message, Receiver<Message>),
}

/// The callers' end of the writing thread.
pub(crate) struct Writer {
    // Before the thread: it ends when it is dropped.
    queue: Queue<Request>,
    thread: Thread,
    commits: Arc<AtomicU64>,
    failing: Arc<Failing>,
}

/// Why the last group of requests was not committed, if it was not.
#[derive(Debug, Default)]
struct Failing(Mutex<Option<Refused>>);

impl Failing {
    fn set(&self, outcome: &Result<(), Refused>) {
        let mut failing = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *failing = outcome.as_ref().err().cloned();
    }
}

impl Writer {
    /// Starts the thread, on the database of a folder.
    pub(crate) fn start(
        connection: Connection,
        folder: Folder,
        limits: &Limits,
    ) -> Result<Self, std::io::Error> {
        let (queue, mut receiver) = Queue::new(limits.queue, limits.patience);
        let commits = Arc::new(AtomicU64::new(0));
        let failing = Arc::new(Failing::default());
        let worker = Worker {
            connection,
            folder,
            group: limits.group,
            idle: limits.transaction_idle,
            commits: Arc::clone(&commits),
            failing: Arc::clone(&failing),
        };
        let thread = Thread::spawn("sqlite-writer", move || worker.serve(&mut receiver))?;
        Ok(Self {
            queue,
            thread,
            commits,
            failing,
        })
    }

    /// Runs `write` as a transaction of its own, durable when it returns.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        write: impl FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (send, answered) = oneshot::channel();
        let span = Span::current();
        self.queue
            .push(Request::Single(Box::new(move |connection| {
                let result = connection
                    .map_err(StoreError::from)
                    .and_then(|connection| Ok(span.in_scope(|| write(connection))?));
                Done {
                    keep: result.is_ok(),
                    answer: Box::new(move |committed| {
                        let _ = send.send(committed.map_err(StoreError::from).and(result));
                    }),
                }
            })))
            .await?;
        answered
            .await
            .map_err(|_| StoreError::unavailable(Stopped))?
    }

    /// Puts a transaction into the queue.
    pub(crate) async fn transaction(
        &self,
        first: Message,
        rest: Receiver<Message>,
    ) -> Result<(), StoreError> {
        self.queue.push(Request::Transaction(first, rest)).await
    }

    /// How often it committed since it was started.
    pub(crate) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    /// Whether what was asked of it last could be written; a disk that is full cannot.
    pub(crate) fn health(&self) -> Result<(), StoreError> {
        if !self.thread.is_running() {
            return Err(StoreError::unavailable(Stopped));
        }
        let failing = &self.failing.0;
        let failing = failing.lock().unwrap_or_else(PoisonError::into_inner);
        failing.clone().map_or(Ok(()), |why| Err(why.into()))
    }
}

/// The thread's end.
struct Worker {
    connection: Connection,
    folder: Folder,
    group: usize,
    idle: Duration,
    commits: Arc<AtomicU64>,
    failing: Arc<Failing>,
}

impl Worker {
    fn serve(self, queue: &mut UnboundedReceiver<Queued<Request>>) {
        while let Some(first) = queue.blocking_recv() {
            // Who is in the group of a panic is told that nothing was written; the next ones go on.
            let served = catch_unwind(AssertUnwindSafe(|| self.serve_next(first, queue)));
            if served.is_err() {
                self.roll_back();
            }
        }
    }

    fn serve_next(&self, first: Queued<Request>, queue: &mut UnboundedReceiver<Queued<Request>>) {
        match self.begin() {
            Ok(()) => self.serve_group(first, queue),
            Err(fault) => {
                let refused = Refused::from(fault);
                self.failing.set(&Err(refused.clone()));
                refuse_all(first, queue, &refused);
            }
        }
    }

    /// Whoever copied everything elsewhere had the lock until now: what is written here from then on would be
    /// lost.
    fn begin(&self) -> Result<(), Fault> {
        self.run(BEGIN)?;
        self.folder.refuse_if_moved().map_err(|moved| {
            self.roll_back();
            Fault::Moved(Box::new(moved))
        })
    }

    fn serve_group(&self, first: Queued<Request>, queue: &mut UnboundedReceiver<Queued<Request>>) {
        let mut served = Vec::new();
        let mut next = Some(first);
        while let Some(Queued { request, place }) = next {
            served.extend(self.serve_one(request).map(|answer| (answer, place)));
            // A disk that is full or fails makes SQLite roll back everything by itself.
            if self.connection.is_autocommit() {
                break;
            }
            next = (served.len() < self.group)
                .then(|| queue.try_recv().ok())
                .flatten();
        }
        let outcome = self.commit();
        self.failing.set(&outcome);
        for (answer, place) in served {
            answer(outcome.clone());
            drop(place);
        }
    }

    fn commit(&self) -> Result<(), Refused> {
        if self.connection.is_autocommit() {
            return Err(Fault::GroupLost.into());
        }
        let seen = Family::COMMIT.untraced();
        let outcome = seen.end(self.run(COMMIT));
        if outcome.is_ok() {
            self.commits.fetch_add(1, Ordering::Relaxed);
        } else {
            self.roll_back();
        }
        outcome.map_err(Refused::from)
    }

    /// `None`: it was answered already, and nothing of it is left.
    fn serve_one(&self, request: Request) -> Option<Answer> {
        let opened = self.run(OPEN).map_err(Refused::from);
        match (request, opened) {
            (Request::Single(single), Ok(())) => {
                let done = single(Ok(&self.connection));
                self.close(done.keep);
                Some(done.answer)
            }
            (Request::Transaction(first, rest), Ok(())) => self.serve_transaction(first, &rest),
            (Request::Single(single), Err(refused)) => Some(single(Err(refused)).answer),
            (Request::Transaction(first, _), Err(refused)) => {
                refuse_message(first, refused);
                None
            }
        }
    }

    /// Until it commits, fails, is dropped or is idle for too long. A transaction that failed
    /// finds its channel closed.
    ///
    /// Its steps are answered before the group is committed, so they may have seen what a failing
    /// COMMIT takes back. Nothing is granted by that: the transaction itself fails with it.
    fn serve_transaction(&self, first: Message, rest: &Receiver<Message>) -> Option<Answer> {
        let mut message = first;
        loop {
            match message {
                Message::Commit(reply) => {
                    self.close(true);
                    return Some(Box::new(move |outcome| {
                        let _ = reply.send(outcome.map_err(StoreError::from));
                    }));
                }
                Message::Step(step) => {
                    if !step(Ok(&self.connection)) {
                        break;
                    }
                }
            }
            match rest.recv_timeout(self.idle) {
                Ok(next) => message = next,
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    tracing::warn!("a transaction was idle for too long and is rolled back");
                    break;
                }
            }
        }
        self.close(false);
        None
    }

    /// Ends the savepoint of a request. If that fails nothing is known of what is in the group:
    /// then nothing of it may be committed.
    fn close(&self, keep: bool) {
        let undone = if keep { Ok(()) } else { self.run(UNDO) };
        if let Err(error) = undone.and_then(|()| self.run(KEEP)) {
            tracing::error!(%error, "a group of requests is rolled back");
            self.roll_back();
        }
    }

    fn roll_back(&self) {
        if !self.connection.is_autocommit()
            && let Err(error) = self.run(ROLLBACK)
        {
            tracing::error!(%error, "the database could not roll back");
        }
    }

    fn run(&self, sql: &'static str) -> Result<(), Fault> {
        self.connection.prepare_cached(sql)?.execute([])?;
        Ok(())
    }
}

/// The database is not to be had: everybody who waits is told now, not one busy timeout each.
fn refuse_all(
    first: Queued<Request>,
    queue: &mut UnboundedReceiver<Queued<Request>>,
    refused: &Refused,
) {
    let waiting = queue.len();
    let others = (0..waiting).map_while(|_| queue.try_recv().ok());
    for Queued { request, place } in std::iter::once(first).chain(others) {
        match request {
            Request::Single(single) => (single(Err(refused.clone())).answer)(Ok(())),
            Request::Transaction(message, _) => refuse_message(message, refused.clone()),
        }
        drop(place);
    }
}

fn refuse_message(message: Message, refused: Refused) {
    match message {
        Message::Step(step) => {
            step(Err(refused));
        }
        Message::Commit(reply) => {
            let _ = reply.send(Err(refused.into()));
        }
    }
}

/// The error of whoever sends to a transaction that is over.
pub(crate) fn rolled_back() -> StoreError {
    StoreError::unavailable(RolledBack)
}
