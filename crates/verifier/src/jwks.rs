//! The issuer's keys: fetched, kept for their `max-age`, fetched anew before it is over.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use tokio::{
    sync::{Mutex, Semaphore},
    time::{sleep, timeout},
};

use crate::{
    clock::monotonic,
    keys::KeySet,
    net::Address,
    random::{Backoff, part_of},
};

/// For one fetch.
const TIMEOUT: Duration = Duration::from_secs(3);
/// Longest document in bytes.
const MAX_DOCUMENT: usize = 256 * 1024;
/// Between the beginnings of two fetches.
const PAUSE: Duration = Duration::from_secs(1);
/// What `max-age` may be, and what it is where none is said.
const MAX_AGE: (Duration, Duration, Duration) = (
    Duration::from_secs(1),
    Duration::from_hours(24),
    Duration::from_mins(5),
);
/// First and longest pause between attempts to refresh.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// Tokens with an unknown key that wait for one fetch; the others are answered at once.
const MAX_WAITING: usize = 64;

/// The keys in use.
pub(crate) struct Jwks {
    addresses: Vec<Address>,
    held: RwLock<Held>,
    /// When the last fetch began; locked while one is under way.
    fetching: Mutex<Option<Duration>>,
    waiting: Semaphore,
}

#[derive(Clone)]
struct Held {
    keys: Arc<KeySet>,
    /// When the fetch began that brought them, and how old they may become.
    fetched: Option<(Duration, Duration)>,
    problem: Option<String>,
}

impl Jwks {
    pub(crate) fn new(addresses: Vec<Address>) -> Self {
        let held = Held {
            keys: Arc::default(),
            fetched: None,
            problem: None,
        };
        Self {
            addresses,
            held: RwLock::new(held),
            fetching: Mutex::new(None),
            waiting: Semaphore::new(MAX_WAITING),
        }
    }

    /// These, as if they had just been fetched.
    #[cfg(test)]
    pub(crate) fn holding(keys: KeySet) -> Self {
        let jwks = Self::new(Vec::new());
        jwks.replace(keys);
        jwks
    }

    #[cfg(test)]
    pub(crate) fn replace(&self, keys: KeySet) {
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        held.keys = Arc::new(keys);
        held.fetched = Some((monotonic(), MAX_AGE.2));
    }

    fn held(&self) -> Held {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        held.clone()
    }

    pub(crate) fn keys(&self) -> Arc<KeySet> {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&held.keys)
    }

    /// Whether the keys are no older than they may be: then each key that signs is among them,
    /// since a new one is published that long before.
    pub(crate) fn is_fresh(&self) -> bool {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        let age = |fetched| monotonic().saturating_sub(fetched);
        held.fetched
            .is_some_and(|(fetched, max_age)| age(fetched) <= max_age)
    }

    /// Why the last fetch failed, if it did.
    pub(crate) fn problem(&self) -> Option<String> {
        self.held().problem
    }

    /// Fetches the keys, unless that was begun within the last second: then waits for it, if it is
    /// still under way.
    pub(crate) async fn reload(&self) {
        let mut last = self.fetching.lock().await;
        let now = monotonic();
        if last.is_some_and(|last| now.saturating_sub(last) < PAUSE) {
            return;
        }
        *last = Some(now);
        let fetched = self.fetch().await;
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        match fetched {
            Ok((max_age, keys)) => {
                if held.problem.take().is_some() || held.fetched.is_none() {
                    tracing::info!(keys = keys.len(), "the issuer's keys are loaded");
                }
                held.keys = Arc::new(keys);
                held.fetched = Some((now, max_age));
            }
            Err(problem) => {
                tracing::warn!(%problem, "the issuer's keys cannot be loaded");
                held.problem = Some(problem);
            }
        }
    }

    /// As [`reload`](Self::reload), for a token. `false`: too many wait already.
    pub(crate) async fn reload_for_token(&self) -> bool {
        let Ok(_permit) = self.waiting.try_acquire() else {
            return false;
        };
        self.reload().await;
        true
    }

    /// From the first address that has them.
    async fn fetch(&self) -> Result<(Duration, KeySet), String> {
        let mut problem = "there is no address".to_owned();
        for address in &self.addresses {
            match timeout(TIMEOUT, address.get(MAX_DOCUMENT)).await {
                Ok(Ok((max_age, document))) => match KeySet::parse(&document) {
                    Ok(keys) => {
                        let (least, most, default) = MAX_AGE;
                        let max_age = max_age.unwrap_or(default).clamp(least, most);
                        return Ok((max_age, keys));
                    }
                    Err(error) => problem = format!("{address}: {error}"),
                },
                Ok(Err(error)) => problem = format!("{address}: {error}"),
                Err(_) => problem = format!("{address}: no answer within {TIMEOUT:?}"),
            }
        }
        Err(problem)
    }

    /// Keeps the keys fresh: fetches them when four fifths of their time are over.
    pub(crate) async fn keep(&self) {
        let mut backoff = Backoff::new(BACKOFF.0, BACKOFF.1);
        loop {
            self.reload().await;
            let pause = match self.held() {
                Held {
                    problem: None,
                    fetched: Some((fetched, max_age)),
                    ..
                } => {
                    backoff.reset();
                    let due = fetched + max_age * 4 / 5;
                    let early = part_of(max_age / 10);
                    due.saturating_sub(monotonic()).saturating_sub(early)
                }
                _ => backoff.pause(),
            };
            sleep(pause.max(PAUSE / 2)).await;
        }
    }
}
