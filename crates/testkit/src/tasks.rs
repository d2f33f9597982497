//! Work after the answer, where a test can see it.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{Mutex, MutexGuard, PoisonError},
};

use sso_core::ports::Tasks;
use tokio::task::JoinSet;

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Keeps tasks until the test runs them, in its own task and in their order.
#[derive(Default)]
pub struct InlineTasks(Mutex<Vec<Task>>);

impl InlineTasks {
    /// None waits.
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs what waits, and what that starts, to the end. Returns how many ran.
    pub async fn run(&self) -> usize {
        let mut count = 0;
        loop {
            let tasks = std::mem::take(&mut *lock(&self.0));
            if tasks.is_empty() {
                return count;
            }
            count += tasks.len();
            for task in tasks {
                task.await;
            }
        }
    }
}

impl Tasks for InlineTasks {
    fn spawn(&self, task: Task) {
        lock(&self.0).push(task);
    }
}

impl fmt::Debug for InlineTasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("InlineTasks")
            .field(&lock(&self.0).len())
            .finish()
    }
}

/// Runs tasks at once, beside the test, on the runtime of whoever spawns.
#[derive(Debug, Default)]
pub struct TokioTasks(Mutex<JoinSet<()>>);

impl TokioTasks {
    /// None runs.
    pub fn new() -> Self {
        Self::default()
    }

    /// Waits for all, and for what they start. A task that panics is a test that fails.
    pub async fn wait(&self) {
        loop {
            let tasks = std::mem::take(&mut *lock(&self.0));
            if tasks.is_empty() {
                return;
            }
            tasks.join_all().await;
        }
    }
}

impl Tasks for TokioTasks {
    fn spawn(&self, task: Task) {
        lock(&self.0).spawn(task);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    };

    use super::*;

    fn counted(counter: &Arc<AtomicU32>) -> Task {
        let counter = Arc::clone(counter);
        Box::pin(async move {
            counter.fetch_add(1, Ordering::Relaxed);
        })
    }

    #[tokio::test]
    async fn inline_tasks_run_when_the_test_says_so() {
        let (tasks, counter) = (InlineTasks::new(), Arc::default());
        tasks.spawn(counted(&counter));
        tasks.spawn(counted(&counter));
        assert_eq!(counter.load(Ordering::Relaxed), 0);
        assert_eq!(tasks.run().await, 2);
        assert_eq!(counter.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn tokio_tasks_can_be_waited_for() {
        let (tasks, counter) = (TokioTasks::new(), Arc::default());
        tasks.spawn(counted(&counter));
        tasks.wait().await;
        assert_eq!(counter.load(Ordering::Relaxed), 1);
    }
}
