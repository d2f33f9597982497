//! What is known of the servers, by everyone who asked one: who is the primary, who is how far
//! behind.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::{Notify, watch};

use super::{
    Identity, Role,
    beats::Beats,
    exhausted::Exhausted,
    given_up::{GivenUp, Led},
    identity::ServerTime,
    lock, metrics,
};

/// Most runs that are remembered; the longest unheard is forgotten.
const MAX_RUNS: usize = 64;
/// One that was not heard for this long is forgotten.
const FORGOTTEN: Duration = Duration::from_mins(1);

/// The primary: the server that accepts writes on the highest timeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Primary {
    /// The cluster's system identifier.
    pub system: i64,
    /// The highest that was met.
    pub timeline: u32,
    /// Which run of which server.
    pub run: Arc<str>,
    pub(super) address: usize,
}

/// How the server is that answers at a replica's address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplicaState {
    /// It is read. So long ago the newest beat was sent that it shows.
    Read(Duration),
    /// It is left alone. `None`: it has shown no beat of ours yet.
    Behind(Option<Duration>),
    /// It is the primary now.
    Primary,
    /// Nobody answers, or none that is of use: a deposed primary, another cluster.
    Away,
}

/// What a connection is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// Writes, and reads that must see them.
    Primary,
    /// Reads that say how fresh they must be.
    Replica,
    /// Nothing at present: it is too far behind.
    Later,
    /// Nothing any more: a deposed primary, another cluster, a server that is gone.
    Never,
}

/// What is known.
pub(super) struct Topology {
    state: Mutex<State>,
    primary: watch::Sender<Option<Primary>>,
    highest: AtomicU32,
    given_up: watch::Sender<Option<GivenUp>>,
    /// Wakes all who probe: somebody met an error.
    pub(super) doubt: Notify,
    pub(super) beats: Beats,
    pub(super) exhausted: Exhausted,
    /// Of the primary that was asked last.
    time: Mutex<Option<ServerTime>>,
    max_lag: Duration,
    unheard: Duration,
}

#[derive(Default)]
struct State {
    system: Option<i64>,
    runs: HashMap<Arc<str>, Seen>,
    /// Who was the primary last on the highest timeline.
    last: Option<Led>,
}

struct Seen {
    address: usize,
    role: Role,
    heard: Instant,
    /// When the newest beat was sent that it shows.
    shows: Option<Instant>,
    /// What was logged of it.
    told: Option<&'static str>,
}

impl Topology {
    /// `unheard`: a server that has not answered for this long is gone.
    pub(super) fn new(max_lag: Duration, unheard: Duration) -> Self {
        Self {
            state: Mutex::default(),
            primary: watch::Sender::new(None),
            highest: AtomicU32::new(0),
            given_up: watch::Sender::new(None),
            doubt: Notify::new(),
            beats: Beats::default(),
            exhausted: Exhausted::default(),
            time: Mutex::default(),
            max_lag,
            unheard,
        }
    }

    /// The highest timeline that was met.
    pub(super) fn timeline(&self) -> u32 {
        self.highest.load(Ordering::Acquire)
    }

    /// The primary as it changes.
    pub(super) fn watch(&self) -> watch::Receiver<Option<Primary>> {
        self.primary.subscribe()
    }

    /// What the cluster has given up, if it has.
    pub(super) fn given_up(&self) -> watch::Receiver<Option<GivenUp>> {
        self.given_up.subscribe()
    }

    /// The cluster is this one; others are foreign from now on.
    pub(super) fn settle(&self, system: i64) {
        lock(&self.state).system.get_or_insert(system);
    }

    /// A server has said at `address` who it is.
    pub(super) fn observe(&self, address: usize, who: &Identity, now: Instant) {
        let mut state = lock(&self.state);
        let known = *state.system.get_or_insert(who.system);
        let entry = state.runs.entry(Arc::clone(&who.run));
        let seen = entry.or_insert_with(|| Seen {
            address,
            role: who.role,
            heard: now,
            shows: None,
            told: None,
        });
        (seen.role, seen.heard) = (who.role, now);
        if who.system != known {
            tell_once(seen, &who.run, "a server of another cluster is left alone");
        } else if let Role::Primary { timeline } = who.role {
            if timeline < self.timeline() {
                tell_once(
                    seen,
                    &who.run,
                    "a deposed primary still runs; it is not used",
                );
            } else {
                self.hail(&state, address, who, timeline, now);
                if self.is_primary(&who.run) {
                    state.last = Led::by(who, timeline);
                }
            }
        } else if self.primary.borrow().is_none()
            && let Some(led) = &mut state.last
            && let Some(given_up) = led.given_up(who, now, self.unheard)
        {
            self.given_up.send_if_modified(|known| {
                let is_news = known.is_none();
                known.get_or_insert(given_up);
                is_news
            });
        }
        forget(&mut state, now);
    }

    /// A server accepts writes on the highest timeline.
    fn hail(&self, state: &State, address: usize, who: &Identity, timeline: u32, now: Instant) {
        let highest = self.highest.fetch_max(timeline, Ordering::AcqRel);
        let higher = highest < timeline;
        if higher && highest != 0 {
            metrics::failover();
        }
        self.primary.send_if_modified(|current| {
            let before = current.as_ref();
            let same = before.is_some_and(|primary| primary.run == who.run);
            // Two on one timeline cannot be told apart: the one that is heard stays.
            let stays = before.and_then(|primary| state.runs.get(&primary.run));
            let stays = stays.is_some_and(|seen| now - seen.heard < self.unheard);
            if !higher && (same || stays) {
                return false;
            }
            // Who is it at the start is no news.
            if highest != 0 {
                tracing::info!(
                    server = &*who.run,
                    timeline,
                    "this server is the primary now"
                );
            }
            *current = Some(Primary {
                system: who.system,
                timeline,
                run: Arc::clone(&who.run),
                address,
            });
            true
        });
    }

    /// A server has said what its clock shows: the primary's counts.
    pub(super) fn tells(&self, run: &str, time: ServerTime) {
        if time.is_sharp() && self.is_primary(run) {
            *lock(&self.time) = Some(time);
        }
    }

    /// What the primary's clock shows, since 1970; `None`: it has not said yet.
    pub(super) fn time(&self, now: Instant) -> Option<Duration> {
        lock(&self.time).map(|time| time.at(now))
    }

    /// A replica shows a beat that was sent then.
    pub(super) fn shows(&self, run: &str, sent: Option<Instant>) {
        if let Some(seen) = lock(&self.state).runs.get_mut(run) {
            seen.shows = sent;
        }
    }

    /// A server is gone: its connection broke, or it does not answer.
    pub(super) fn lost(&self, run: &str) {
        lock(&self.state).runs.remove(run);
        self.primary.send_if_modified(|current| {
            let lost = current.as_ref().is_some_and(|primary| &*primary.run == run);
            if lost {
                tracing::warn!(server = run, "the primary is gone");
                *current = None;
            }
            lost
        });
    }

    /// Nobody answers at `address` any more: whoever was there and is not heard elsewhere is gone.
    pub(super) fn silent(&self, address: usize, now: Instant) {
        let gone: Vec<_> = {
            let state = lock(&self.state);
            let unheard = state.runs.iter().filter(|(_, seen)| {
                seen.address == address && now.saturating_duration_since(seen.heard) >= self.unheard
            });
            unheard.map(|(run, _)| Arc::clone(run)).collect()
        };
        for run in gone {
            self.lost(&run);
        }
    }

    /// What a connection to this run is good for at `now`.
    pub(super) fn usage(&self, run: &str, now: Instant) -> Use {
        if self.is_primary(run) {
            return Use::Primary;
        }
        let state = lock(&self.state);
        match state.runs.get(run) {
            Some(seen) if seen.role == Role::Replica => {
                let lag = self.lag(seen, now);
                if lag.is_some_and(|lag| lag <= self.max_lag) {
                    Use::Replica
                } else {
                    Use::Later
                }
            }
            _ => Use::Never,
        }
    }

    /// The addresses that lead to a replica that can be read.
    pub(super) fn readable(&self, now: Instant) -> Vec<usize> {
        let state = lock(&self.state);
        let near = state.runs.values().filter(|seen| {
            let lag = self.lag(seen, now);
            seen.role == Role::Replica && lag.is_some_and(|lag| lag <= self.max_lag)
        });
        let mut addresses: Vec<_> = near.map(|seen| seen.address).collect();
        addresses.sort_unstable();
        addresses.dedup();
        addresses
    }

    fn is_primary(&self, run: &str) -> bool {
        let primary = self.primary.borrow();
        primary.as_ref().is_some_and(|primary| &*primary.run == run)
    }

    /// How far the replicas at `address` are behind, the furthest of them.
    pub(super) fn furthest(&self, address: usize, now: Instant) -> Option<Duration> {
        let state = lock(&self.state);
        let here = state
            .runs
            .values()
            .filter(|seen| seen.address == address && seen.role == Role::Replica);
        here.filter_map(|seen| Some(now.saturating_duration_since(seen.shows?)))
            .max()
    }

    /// How the best server is that answers at `address`.
    pub(super) fn replica(&self, address: usize, now: Instant) -> ReplicaState {
        let state = lock(&self.state);
        let heard = state.runs.iter().filter(|(_, seen)| {
            seen.address == address && now.saturating_duration_since(seen.heard) < self.unheard
        });
        let heard: Vec<_> = heard.collect();
        let replicas = heard.iter().filter(|(_, seen)| seen.role == Role::Replica);
        let nearest = replicas.map(|(_, seen)| self.lag(seen, now));
        match nearest.min_by_key(|lag| lag.unwrap_or(Duration::MAX)) {
            Some(Some(lag)) if lag <= self.max_lag => ReplicaState::Read(lag),
            Some(lag) => ReplicaState::Behind(lag),
            None if heard.iter().any(|(run, _)| self.is_primary(run)) => ReplicaState::Primary,
            None => ReplicaState::Away,
        }
    }

    /// `None`: unknown, or it is not heard any more.
    fn lag(&self, seen: &Seen, now: Instant) -> Option<Duration> {
        let heard = now.saturating_duration_since(seen.heard) < self.unheard;
        let shows = seen.shows.filter(|_| heard)?;
        Some(now.saturating_duration_since(shows))
    }
}

fn tell_once(seen: &mut Seen, run: &str, what: &'static str) {
    if seen.told != Some(what) {
        seen.told = Some(what);
        tracing::warn!(server = run, "{what}");
    }
}

fn forget(state: &mut State, now: Instant) {
    state.runs.retain(|_, seen| now - seen.heard < FORGOTTEN);
    while state.runs.len() > MAX_RUNS {
        let longest = state.runs.iter().min_by_key(|(_, seen)| seen.heard);
        let Some(run) = longest.map(|(run, _)| Arc::clone(run)) else {
            return;
        };
        state.runs.remove(&run);
    }
}

#[cfg(test)]
#[path = "topology_tests.rs"]
mod tests;
