//! What the threads of the pool share, and what each of them does.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use sso_core::ports::{HashError, Queue, Work};
use tokio::sync::oneshot;

use super::{
    argon::Memory,
    queue::Admission,
    schedule::{Next, Schedule, Ticket, Weight},
};
use crate::metrics;

/// What a mean hash is taken to last before any was measured.
const FIRST_GUESS: Duration = Duration::from_millis(50);
/// What is added to round up to whole seconds.
const ALMOST_A_SECOND: Duration = Duration::from_millis(999);
/// Lower than the runtime's threads: answers that need no hash must not wait for one. Ten steps are a
/// tenth of their weight, so that hashes go on, slowly, where those others have use for every core.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 10;

/// A computation and who waits for it.
pub(super) trait Call: Send {
    /// Computes and answers.
    fn run(self: Box<Self>, memory: &mut Memory);
    /// Answers that it was not computed.
    fn refuse(self: Box<Self>, error: HashError);
}

/// The one kind of [`Call`]: a closure and the sender of its answer.
pub(super) struct Computation<T, F> {
    pub(super) compute: F,
    pub(super) answer: oneshot::Sender<Result<T, HashError>>,
}

impl<T, F> Call for Computation<T, F>
where
    T: Send,
    F: FnOnce(&mut Memory) -> Result<T, HashError> + Send,
{
    fn run(self: Box<Self>, memory: &mut Memory) {
        let Self { compute, answer } = *self;
        // Whoever waited may have gone: then nobody wants the answer.
        let _ = answer.send(compute(memory));
    }

    fn refuse(self: Box<Self>, error: HashError) {
        let _ = self.answer.send(Err(error));
    }
}

/// A call in a queue.
pub(super) struct Job {
    queue: Queue,
    call: Box<dyn Call>,
}

/// What all threads and callers share.
pub(super) struct Shared {
    state: Mutex<State>,
    wake: Condvar,
    threads: u32,
    /// Longest wait in a queue.
    deadline: Duration,
    /// After this long without work a thread gives its memory back, a step at a time.
    idle: Duration,
}

struct State {
    schedule: Schedule<Job>,
    stopped: bool,
    /// Mean duration of the last jobs.
    pace: Duration,
}

impl Shared {
    pub(super) fn new(threads: u32, capacity: usize, deadline: Duration, idle: Duration) -> Self {
        Self {
            state: Mutex::new(State {
                schedule: Schedule::new(capacity),
                stopped: false,
                pace: FIRST_GUESS,
            }),
            wake: Condvar::new(),
            threads,
            deadline,
            idle,
        }
    }

    pub(super) const fn deadline(&self) -> Duration {
        self.deadline
    }

    /// Puts a call into its queue, or says at once that there is no room.
    pub(super) fn offer(
        &self,
        work: Work,
        weight: Weight,
        call: Box<dyn Call>,
    ) -> Result<Ticket, HashError> {
        let job = Job {
            queue: work.queue,
            call,
        };
        let mut state = self.lock();
        if state.stopped {
            return Err(HashError::Stopped);
        }
        // Whoever would wait past the deadline is told now and not then.
        let ahead = u32::try_from(state.schedule.ahead_of(work)).unwrap_or(u32::MAX);
        if weight == Weight::Normal && self.time_of(&state, ahead) > self.deadline {
            let retry_after = self.retry_after(&state, work.queue);
            return Err(overloaded(work.queue, retry_after));
        }
        let (ticket, admission) = state.schedule.offer(work, weight, job);
        let retry_after = self.retry_after(&state, work.queue);
        report_depth(&state);
        drop(state);
        match admission {
            Admission::Admitted => self.wake.notify_one(),
            Admission::Displaced(job) => refuse(job, retry_after),
            Admission::Refused(_) => return Err(overloaded(work.queue, retry_after)),
        }
        Ok(ticket)
    }

    /// Takes a call out of its queue whose caller has gone. `false`: a thread has it already.
    pub(super) fn withdraw(&self, ticket: Ticket) -> bool {
        let mut state = self.lock();
        let withdrawn = state.schedule.withdraw(ticket);
        report_depth(&state);
        withdrawn.is_some()
    }

    /// The refusal of a call that waited too long.
    pub(super) fn too_late(&self, queue: Queue) -> HashError {
        let retry_after = self.retry_after(&self.lock(), queue);
        overloaded(queue, retry_after)
    }

    /// Refuses what waits and what comes; the threads end after what they are at.
    pub(super) fn stop(&self) {
        let mut state = self.lock();
        state.stopped = true;
        let waiting = state.schedule.drain();
        report_depth(&state);
        drop(state);
        self.wake.notify_all();
        for job in waiting {
            job.call.refuse(HashError::Stopped);
        }
    }

    /// The life of one thread.
    pub(super) fn work(&self) {
        lower_priority();
        let mut memory = Memory::default();
        while let Some(Next { item: job, weight }) = self.next(&mut memory) {
            let started = Instant::now();
            run(job, weight, &mut memory);
            let mut state = self.lock();
            state.pace = (state.pace * 7 + started.elapsed()) / 8;
            if weight == Weight::Heavy {
                state.schedule.heavy_is_done();
            }
        }
    }

    /// Waits for a job; `None` when the pool has stopped.
    fn next(&self, memory: &mut Memory) -> Option<Next<Job>> {
        let mut state = self.lock();
        loop {
            if state.stopped {
                return None;
            }
            if let Some(next) = state.schedule.next() {
                report_depth(&state);
                return Some(next);
            }
            if memory.is_settled() {
                state = self
                    .wake
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let (back, waited) = self
                .wake
                .wait_timeout(state, self.idle)
                .unwrap_or_else(PoisonError::into_inner);
            state = back;
            if waited.timed_out() {
                drop(state);
                memory.settle();
                state = self.lock();
            }
        }
    }

    /// When there will probably be room: the time that what waits will take, in whole seconds.
    fn retry_after(&self, state: &State, queue: Queue) -> Duration {
        let waiting = u32::try_from(state.schedule.depth(queue)).unwrap_or(u32::MAX);
        let estimate = self.time_of(state, waiting);
        Duration::from_secs((estimate + ALMOST_A_SECOND).as_secs().max(1))
    }

    /// The time that so many jobs will probably take.
    fn time_of(&self, state: &State, jobs: u32) -> Duration {
        state.pace.saturating_mul(jobs) / self.threads.max(1)
    }

    /// Nothing that can panic runs under this lock, so poison says nothing.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn run(job: Job, weight: Weight, memory: &mut Memory) {
    let mut own = Memory::default();
    let used = match weight {
        Weight::Normal => &mut *memory,
        // Given back as soon as it is done.
        Weight::Heavy => &mut own,
    };
    // A panic drops the sender, which the caller sees; the memory holds nothing that could be left
    // half done.
    if catch_unwind(AssertUnwindSafe(|| job.call.run(used))).is_err() {
        tracing::error!("a job of the hashing pool panicked");
    }
    if weight == Weight::Heavy {
        memory.note_freed();
    }
}

fn report_depth(state: &State) {
    for queue in [Queue::Login, Queue::Registration] {
        metrics::depth(queue, state.schedule.depth(queue));
    }
}

fn refuse(job: Job, retry_after: Duration) {
    job.call.refuse(overloaded(job.queue, retry_after));
}

fn overloaded(queue: Queue, retry_after: Duration) -> HashError {
    metrics::refused(queue);
    HashError::Overloaded { queue, retry_after }
}

#[cfg(target_os = "linux")]
fn lower_priority() {
    // On Linux this is the priority of the calling thread alone.
    if let Err(error) = rustix::process::setpriority_process(None, NICENESS) {
        tracing::debug!(%error, "the priority of a hashing thread stays as it is");
    }
}

#[cfg(not(target_os = "linux"))]
const fn lower_priority() {}
