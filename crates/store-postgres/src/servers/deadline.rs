//! What one request may wait for, in all.

use std::{future::Future, time::Duration};

use tokio::time::Instant;

tokio::task_local! {
    /// `None`: it is nobody's request, or what it waits for now has a bound of its own.
    static DEADLINES: Option<Deadlines>;
}

/// How long a request may wait, from its beginning. Without it every wait has its whole bound: a
/// request that takes two connections would wait twice as long as an operator has allowed, and be
/// cut by the transport, which cannot say that it may come again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// For connections to the primary, all that it takes together.
    pub connections: Duration,
    /// For the answers to its statements. Not to its COMMIT: who no longer waits for that does not
    /// know what was done.
    pub answers: Duration,
}

#[derive(Debug, Clone, Copy)]
struct Deadlines {
    connections: Instant,
    answers: Instant,
}

impl Allowance {
    /// Runs a request, which begins now.
    pub async fn of_request<F: Future>(self, request: F) -> F::Output {
        let now = Instant::now();
        let deadlines = Deadlines {
            connections: now + self.connections,
            answers: now + self.answers,
        };
        DEADLINES.scope(Some(deadlines), request).await
    }
}

/// Runs what goes on for as long as its own bound says, whatever the request has waited before.
pub(super) async fn by_itself<F: Future>(future: F) -> F::Output {
    DEADLINES.scope(None, future).await
}

fn deadlines() -> Option<Deadlines> {
    DEADLINES.try_with(|deadlines| *deadlines).ok().flatten()
}

/// Until when to wait for a connection, for which a wait may take `limit`.
pub(super) fn of_connection(limit: Duration) -> Instant {
    let own = Instant::now() + limit;
    deadlines().map_or(own, |deadlines| own.min(deadlines.connections))
}

/// How long to wait for an answer that may take `limit`.
pub(crate) fn of_answer(limit: Duration) -> Duration {
    deadlines().map_or(limit, |deadlines| {
        let left = deadlines.answers.saturating_duration_since(Instant::now());
        limit.min(left)
    })
}
