//! The loops that take events from the outbox to the sink.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use metrics::{Unit, describe_gauge, gauge};
use sso_core::{
    Sso,
    ports::{
        StoreError,
        store::{Backlog, EventStatus},
    },
    usecases::relay::{Lane, Relay, Round},
};
use sso_events::EventSink;
use tokio::{
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::health::{Dependency, Health};
use crate::wiring::{LANES, Nudges, Parts};

/// How often a lane looks for events that it was not told of: those of other instances, and of
/// commands, which on the embedded database are all there are.
const SCAN: Duration = Duration::from_millis(50);
const SCAN_ALONE: Duration = Duration::from_millis(500);
/// From the first event to the round that takes it, and from one round to the next that is not full:
/// what is stored meanwhile goes with one batch instead of many, each of which is two statements and a
/// commit.
const GATHER: Duration = Duration::from_millis(20);
/// How often shards are tended. Another instance's are taken that soon after its end.
const TEND: Duration = Duration::from_millis(250);
/// Pause after events were refused: time for what is wrong to pass, before attempts are used up.
const REFUSED: Duration = Duration::from_millis(500);
/// First and longest pause while the sink or the store is away.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// How often the outbox is counted, and how many times longer than it takes at least.
const COUNT: (Duration, u32) = (Duration::from_secs(1), 20);

const BACKLOG: &str = "sso_outbox_backlog";
const OLDEST: &str = "sso_outbox_oldest_seconds";
const SHARDS: &str = "sso_outbox_shards";

/// Describes the gauges and makes their series exist at 0.
pub(super) fn register_metrics() {
    describe_gauge!(
        BACKLOG,
        Unit::Count,
        "Events in the outbox that are not delivered."
    );
    describe_gauge!(
        OLDEST,
        Unit::Seconds,
        "Age of the oldest event that is not delivered."
    );
    describe_gauge!(
        SHARDS,
        Unit::Count,
        "Shards of the outbox, of 8, that this instance delivers."
    );
    gauge!(SHARDS).set(0.0);
    show_backlog(Backlog::default(), Duration::ZERO);
}

/// What a lane does before its next round.
enum Wait {
    ForNews,
    Rest(Duration),
}

/// What the loops work with.
#[derive(Clone)]
pub(super) struct Loops {
    sso: Sso,
    relay: Arc<Relay>,
    nudges: Nudges,
    health: Arc<Health>,
    scan: Duration,
    /// Why each lane, and at last the share of the shards, does not get on.
    problems: Arc<Mutex<[Option<String>; LANES as usize + 1]>>,
}

impl Loops {
    pub(super) fn new(parts: &Parts, sink: Arc<dyn EventSink>, health: Arc<Health>) -> Self {
        let sso = parts.sso.clone();
        let (store, clock) = (sso.store.clone(), sso.clock.clone());
        let relay = Relay::new(store, sink, clock, parts.shards.clone());
        Self {
            sso,
            relay: Arc::new(relay),
            nudges: parts.nudges.clone(),
            health,
            scan: if parts.servers.is_some() {
                SCAN
            } else {
                SCAN_ALONE
            },
            problems: Arc::default(),
        }
    }

    /// Delivers until it is told to stop; then what is left, once, and gives all shards up.
    pub(super) async fn run(self, stop: CancellationToken) {
        let mut lanes = JoinSet::new();
        for (number, lane) in (0..LANES).zip(Lane::all(LANES)) {
            let (this, stop) = (self.clone(), stop.clone());
            lanes.spawn(async move { this.deliver(number, lane, stop).await });
        }
        // One that panicked would leave its share of the shards to nobody: they stay locked. So all
        // are given up, and whoever watches this loop sees it end.
        let done = async { while let Some(Ok(())) = lanes.join_next().await {} };
        // Shards are kept until the last delivery is over.
        tokio::select! {
            () = done => {}
            () = self.tend() => {}
            () = self.count() => {}
        }
        self.relay.leave().await;
        gauge!(SHARDS).set(0.0);
    }

    /// Never ends.
    async fn tend(&self) {
        let mut ticks = interval(TEND);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let tended = self.relay.tend().await;
            self.tell(LANES.into(), tended.err().map(|error| error.to_string()));
            gauge!(SHARDS).set(f64::from(self.relay.mine().len()));
        }
    }

    /// Never ends.
    async fn count(&self) {
        let mut last = Backlog::default();
        loop {
            let started = Instant::now();
            self.show_outbox(&mut last).await;
            sleep(COUNT.0.max(started.elapsed() * COUNT.1)).await;
        }
    }

    async fn deliver(&self, number: u8, mut lane: Lane, stop: CancellationToken) {
        let mut stored = self.nudges.of(number);
        let mut pause = BACKOFF.0;
        let mut well = true;
        loop {
            let started = Instant::now();
            let stopping = stop.is_cancelled();
            // What was away a moment ago would keep the end waiting for its deadlines once more.
            if stopping && !well {
                return;
            }
            let round = self.relay.round(&mut lane).await;
            let problem = problem_of(&round);
            well = problem.is_none();
            self.tell(number.into(), problem);
            if stopping {
                return;
            }
            let wait = match round {
                Ok(round) if well && round.more && round.refused == 0 => {
                    pause = BACKOFF.0;
                    continue;
                }
                Ok(round) if well => {
                    pause = BACKOFF.0;
                    if round.refused > 0 {
                        Wait::Rest(REFUSED)
                    } else {
                        Wait::ForNews
                    }
                }
                failed => {
                    // Where some get on the others of the lane must not wait long.
                    if failed.is_ok_and(|round| round.delivered > 0) {
                        pause = BACKOFF.0;
                    }
                    let rest = self.jittered(pause);
                    pause = (pause * 2).min(BACKOFF.1);
                    Wait::Rest(rest)
                }
            };
            let rest = match wait {
                Wait::Rest(rest) => rest,
                Wait::ForNews => {
                    let waited = stored.has_changed().is_ok_and(|waited| waited);
                    let woken = timeout(self.scan, stored.changed());
                    match stop.run_until_cancelled(woken).await {
                        Some(Ok(_)) if !waited => GATHER,
                        _ => GATHER.saturating_sub(started.elapsed()),
                    }
                }
            };
            let _ = stop.run_until_cancelled(sleep(rest)).await;
        }
    }

    /// Between half of it and all: instances do not come back at once.
    fn jittered(&self, pause: Duration) -> Duration {
        let mut byte = [0];
        self.sso.random.fill(&mut byte);
        pause / 2 + pause.mul_f64(f64::from(byte[0]) / 512.0)
    }

    /// Tells readiness how all get on.
    fn tell(&self, number: usize, problem: Option<String>) {
        let mut problems = self.problems.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mine) = problems.get_mut(number) {
            *mine = problem;
        }
        let first = problems.iter().flatten().next();
        self.health
            .set(Dependency::Events, first.map(String::as_str));
    }

    /// While the store is away nothing is delivered: what waited last waits on, and grows older.
    async fn show_outbox(&self, last: &mut Backlog) {
        match self.sso.store.backlog().await {
            Ok(backlog) => *last = backlog,
            Err(error) => tracing::warn!(%error, "the outbox cannot be counted"),
        }
        let age = last.oldest.map(|oldest| self.sso.clock.now() - oldest);
        let age = age
            .and_then(|age| Duration::try_from(age).ok())
            .unwrap_or_default();
        show_backlog(*last, age);
    }
}

fn problem_of(round: &Result<Round, StoreError>) -> Option<String> {
    match round {
        Ok(round) if round.unreachable => Some("the sink is away".to_owned()),
        Ok(_) => None,
        Err(error) => Some(error.to_string()),
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a gauge is a float; 2^53 events are enough"
)]
fn show_backlog(backlog: Backlog, oldest: Duration) {
    for (status, count) in [
        (EventStatus::InProgress, backlog.in_progress),
        (EventStatus::Failed, backlog.failed),
    ] {
        gauge!(BACKLOG, "status" => status.as_str()).set(count as f64);
    }
    gauge!(OLDEST).set(oldest.as_secs_f64());
}
