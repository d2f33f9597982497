//! Hashing passwords on a bounded pool of threads.
//!
//! A hash costs 20 ms of a core and 19 MiB of memory, so it is the one resource that strangers can
//! exhaust. The pool gives it out: a fixed number of threads, two bounded queues (logins are served
//! three times as often as registrations), equal shares for the networks that wait, and a refusal
//! at once for whom there is no room.

mod argon;
mod bcrypt;
mod queue;
mod schedule;
mod stored;
mod worker;

use std::{
    io, mem,
    num::NonZeroU32,
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use ::argon2::Argon2;
use async_trait::async_trait;
use sso_core::{
    ports::{HashError, Hasher, Match, Random, Verified, Work},
    values::{NewPassword, Password, PasswordHash},
};
use tokio::sync::oneshot;
use tracing::{Instrument, Span};

pub use argon::Argon2Params;

use self::{
    argon::Memory,
    schedule::{Ticket, Weight},
    stored::StoredHash,
    worker::{Computation, Shared},
};
use crate::metrics;

/// How big a [`HashPool`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HashPoolSettings {
    /// Threads, each with its own memory. Default: one a core.
    pub threads: NonZeroU32,
    /// Jobs that may wait in each queue, for each thread. Default: 64.
    pub queue_per_thread: NonZeroU32,
    /// Longest wait in a queue. Default: 2 s.
    pub deadline: Duration,
    /// A thread without work for this long gives its memory to the allocator, and after as long
    /// again sees to it that the kernel gets it. Default: 10 s.
    pub idle: Duration,
    /// How new hashes are made.
    pub argon2: Argon2Params,
}

impl Default for HashPoolSettings {
    fn default() -> Self {
        let cores = thread::available_parallelism().ok();
        Self {
            threads: cores
                .and_then(|cores| NonZeroU32::try_from(cores).ok())
                .unwrap_or(NonZeroU32::MIN),
            queue_per_thread: NonZeroU32::MIN.saturating_add(63),
            deadline: Duration::from_secs(2),
            idle: Duration::from_secs(10),
            argon2: Argon2Params::default(),
        }
    }
}

/// Why there is no pool.
#[derive(Debug, thiserror::Error)]
pub enum HashPoolError {
    /// Parameters that are out of bounds.
    #[error("{0}")]
    Params(&'static str),
    /// A thread could not be started.
    #[error("cannot start a hashing thread")]
    Thread(#[source] io::Error),
}

/// The hashing pool. Dropping it refuses what waits, and returns when the hashes under way are
/// done.
///
/// Its futures need a tokio runtime with time enabled. A caller who goes away (whose future is
/// dropped) leaves the queue at once.
pub struct HashPool {
    shared: Arc<Shared>,
    argon2: Argon2<'static>,
    random: Arc<dyn Random>,
    threads: Vec<JoinHandle<()>>,
}

impl HashPool {
    /// Starts the threads. No memory is taken and nothing is hashed before it is asked for.
    pub fn start(
        settings: HashPoolSettings,
        random: Arc<dyn Random>,
    ) -> Result<Self, HashPoolError> {
        let argon2 = settings.argon2.argon2id().map_err(HashPoolError::Params)?;
        let capacity = settings
            .queue_per_thread
            .saturating_mul(settings.threads)
            .get();
        let mut pool = Self {
            shared: Arc::new(Shared::new(
                settings.threads.get(),
                usize::try_from(capacity).unwrap_or(usize::MAX),
                settings.deadline,
                settings.idle,
            )),
            argon2,
            random,
            threads: Vec::new(),
        };
        for number in 0..settings.threads.get() {
            let shared = Arc::clone(&pool.shared);
            let thread = thread::Builder::new()
                .name(format!("sso-hash-{number}"))
                .spawn(move || shared.work())
                .map_err(HashPoolError::Thread)?;
            pool.threads.push(thread);
        }
        Ok(pool)
    }

    /// Refuses what waits and what comes with [`HashError::Stopped`]; does not wait.
    pub fn stop(&self) {
        self.shared.stop();
    }

    async fn hash_normalised(
        &self,
        work: Work,
        password: Password,
    ) -> Result<PasswordHash, HashError> {
        let (argon2, random) = (self.argon2.clone(), Arc::clone(&self.random));
        let compute = move |memory: &mut Memory| {
            let bytes = password.normalised().as_bytes();
            timed("argon2id", || argon::hash(&argon2, memory, bytes, &*random))
        };
        let span = span("hash", "argon2id");
        self.submit(work, Weight::Normal, compute)
            .instrument(span)
            .await
    }

    /// Waits for a thread to compute something.
    async fn submit<T, F>(&self, work: Work, weight: Weight, compute: F) -> Result<T, HashError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Memory) -> Result<T, HashError> + Send + 'static,
    {
        let (answer, mut answered) = oneshot::channel();
        let (offered, queue) = (Instant::now(), work.queue);
        let compute = move |memory: &mut Memory| {
            metrics::waited(queue, offered.elapsed());
            compute(memory)
        };
        let call = Box::new(Computation { compute, answer });
        let place = Place {
            shared: &self.shared,
            ticket: self.shared.offer(work, weight, call)?,
        };
        let waited = tokio::time::timeout(self.shared.deadline(), &mut answered).await;
        let answer = match waited {
            Ok(answer) => {
                place.served();
                answer
            }
            Err(_) if place.give_up() => return Err(self.shared.too_late(work.queue)),
            // The deadline is for the wait: a hash under way is waited for.
            Err(_) => answered.await,
        };
        answer.unwrap_or(Err(HashError::Unreadable("the computation failed")))
    }
}

impl Drop for HashPool {
    fn drop(&mut self) {
        self.shared.stop();
        for thread in self.threads.drain(..) {
            // Panics of jobs are caught, so there is nothing to learn from a thread's end.
            let _ = thread.join();
        }
    }
}

#[async_trait]
impl Hasher for HashPool {
    async fn hash(&self, work: Work, password: NewPassword) -> Result<PasswordHash, HashError> {
        self.hash_normalised(work, password.password().clone())
            .await
    }

    async fn rehash(&self, work: Work, password: Password) -> Result<PasswordHash, HashError> {
        self.hash_normalised(work, password).await
    }

    async fn verify(
        &self,
        work: Work,
        password: Password,
        hash: Option<PasswordHash>,
    ) -> Result<Verified, HashError> {
        let offered = Instant::now();
        let Some(hash) = hash else {
            let argon2 = self.argon2.clone();
            let compute = move |memory: &mut Memory| {
                let waited = offered.elapsed();
                let bytes = password.normalised().as_bytes();
                timed("argon2id", || argon::pretend(&argon2, memory, bytes))?;
                let found = Match::No;
                Ok(Verified { found, waited })
            };
            let span = span("verify", "argon2id");
            return self
                .submit(work, Weight::Normal, compute)
                .instrument(span)
                .await;
        };
        let stored = StoredHash::read(&hash, &self.argon2)?;
        let weight = stored.weight(&self.argon2);
        let span = span("verify", stored.algorithm());
        let compute = move |memory: &mut Memory| {
            let waited = offered.elapsed();
            let found = timed(stored.algorithm(), || stored.verify(memory, &password))?;
            Ok(Verified { found, waited })
        };
        self.submit(work, weight, compute).instrument(span).await
    }

    fn admits(&self, hash: &PasswordHash) -> Result<(), HashError> {
        StoredHash::read(hash, &self.argon2).map(|_| ())
    }

    fn takes(&self, hash: Option<&PasswordHash>) -> Duration {
        match hash.map(|hash| StoredHash::read(hash, &self.argon2)) {
            None => stored::takes(self.argon2.params()),
            Some(Ok(stored)) => stored.takes(),
            Some(Err(_)) => Duration::ZERO,
        }
    }
}

/// A place in a queue, given up when it is dropped.
struct Place<'a> {
    shared: &'a Shared,
    ticket: Ticket,
}

impl Place<'_> {
    /// There is an answer: nothing to give up.
    fn served(self) {
        mem::forget(self);
    }

    /// Gives it up; `false` if a thread was faster.
    fn give_up(self) -> bool {
        let withdrawn = self.shared.withdraw(self.ticket);
        mem::forget(self);
        withdrawn
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.shared.withdraw(self.ticket);
    }
}

/// The span of a hash, its wait included. No user and no difference between a user and none is in
/// it.
fn span(operation: &'static str, algorithm: &'static str) -> Span {
    if Span::current().is_none() {
        // What nobody asked for would be a trace by itself.
        return Span::none();
    }
    tracing::debug_span!(
        "hash",
        otel.name = operation,
        hash.operation = operation,
        hash.algorithm = algorithm,
    )
}

fn timed<T>(algorithm: &'static str, compute: impl FnOnce() -> T) -> T {
    let started = Instant::now();
    let result = compute();
    metrics::duration(algorithm, started.elapsed());
    result
}

#[cfg(test)]
mod tests;
