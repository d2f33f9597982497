//! Work after the answer.

use std::{future::Future, pin::Pin};

/// Runs work that the caller need not wait for. Shutdown waits for it, to its deadline.
pub trait Tasks: Send + Sync {
    /// Starts `task`; drops it when too many are under way, so it must be work that may be lost.
    fn spawn(&self, task: Pin<Box<dyn Future<Output = ()> + Send>>);
}
