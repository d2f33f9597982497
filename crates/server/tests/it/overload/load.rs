//! Clients that ask and ask, and what they were told.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Result;
use http::StatusCode;
use serde_json::json;
use sso_testkit::http::{Http, Reply};
use tokio::task::JoinSet;

use super::{USERS, is_full_size, is_storm};

/// Until a client asks again: as long as it was told and up to a second more, so that not all of
/// them come back together.
fn pause(reply: &Result<Reply>, client: usize) -> Duration {
    let told = reply.as_ref().ok().map(|reply| reply.header("retry-after"));
    let told = told.and_then(|seconds| seconds.parse().ok());
    match told {
        Some(_) if is_storm() => Duration::ZERO,
        Some(seconds) if is_full_size() => {
            let more = u64::try_from(client * 613 % 1000).unwrap_or(0);
            Duration::from_secs(seconds) + Duration::from_millis(more)
        }
        _ => Duration::from_millis(100),
    }
}

/// When a client begins: not all in one instant, which would measure how fast one can connect.
fn start(client: usize, clients: usize) -> Duration {
    let part = |number| u32::try_from(number).unwrap_or(u32::MAX);
    Duration::from_secs(1) * part(client) / part(clients)
}

/// What the clients of one kind were told.
#[derive(Default)]
pub(super) struct Told {
    pub(super) done: AtomicU64,
    pub(super) refused: AtomicU64,
    /// How long each refusal took.
    pub(super) refusals: Mutex<Vec<Duration>>,
    /// Neither done nor refused as it should be.
    pub(super) odd: AtomicU64,
}

impl Told {
    /// Whether it was done.
    fn count(&self, reply: &Result<Reply>, took: Duration) -> bool {
        let count = |counter: &AtomicU64| counter.fetch_add(1, Ordering::Relaxed);
        match reply {
            Ok(reply) if reply.status.is_success() => {
                count(&self.done);
                return true;
            }
            Ok(reply) if is_refusal(reply) => {
                count(&self.refused);
                self.refusals
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(took);
            }
            other => {
                if count(&self.odd) == 0 {
                    println!("odd: {other:?}");
                }
            }
        }
        false
    }

    pub(super) fn get(counter: &AtomicU64) -> u64 {
        counter.load(Ordering::Relaxed)
    }

    /// What so many of a thousand refusals took at most.
    pub(super) fn refusal(&self, per_mille: usize) -> Duration {
        let mut times = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        times.sort_unstable();
        let last = times.len().saturating_sub(1);
        times
            .get(last * per_mille / 1000)
            .copied()
            .unwrap_or_default()
    }
}

/// 503 or 429, and when to come back.
pub(super) fn is_refusal(reply: &Reply) -> bool {
    let codes = [
        StatusCode::SERVICE_UNAVAILABLE,
        StatusCode::TOO_MANY_REQUESTS,
    ];
    let wait = reply.header("retry-after").parse::<u64>();
    codes.contains(&reply.status) && wait.is_ok_and(|seconds| seconds >= 1)
}

/// Clients that go on without pause until this is dropped.
pub(super) struct Load {
    pub(super) told: Arc<Told>,
    stop: Arc<AtomicBool>,
    running: JoinSet<()>,
}

impl Load {
    pub(super) fn start<F>(
        clients: usize,
        ask: impl Fn(usize, u64) -> F + Clone + Send + 'static,
    ) -> Self
    where
        F: Future<Output = Result<Reply>> + Send + 'static,
    {
        let (told, stop) = (Arc::new(Told::default()), Arc::new(AtomicBool::new(false)));
        let mut running = JoinSet::new();
        for client in 0..clients {
            let (told, stop, ask) = (Arc::clone(&told), Arc::clone(&stop), ask.clone());
            running.spawn(async move {
                tokio::time::sleep(start(client, clients)).await;
                let mut number = 0;
                while !stop.load(Ordering::Relaxed) {
                    let asked = Instant::now();
                    let reply = ask(client, number).await;
                    let done = told.count(&reply, asked.elapsed());
                    number += 1;
                    if !done {
                        tokio::time::sleep(pause(&reply, client)).await;
                    }
                }
            });
        }
        Self {
            told,
            stop,
            running,
        }
    }

    /// Stops when the last answers have come.
    pub(super) async fn end(self) -> Arc<Told> {
        self.stop.store(true, Ordering::Relaxed);
        self.running.join_all().await;
        self.told
    }
}

pub(super) fn logins(http: &Http) -> impl Fn(usize, u64) -> AskFuture + Clone + Send + 'static {
    let http = http.clone();
    move |client, _| {
        let user = client % USERS;
        let body = json!({
            "email": format!("user{user}@example.com"),
            "password": format!("the secret of user{user}"),
        });
        post(&http, "/auth/login", body)
    }
}

pub(super) type AskFuture = std::pin::Pin<Box<dyn Future<Output = Result<Reply>> + Send>>;

pub(super) fn post(http: &Http, path: &'static str, body: serde_json::Value) -> AskFuture {
    let http = http.clone();
    Box::pin(async move { http.post(path, &body).await })
}
