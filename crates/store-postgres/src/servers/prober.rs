//! Asks the servers again and again who they are and how far behind: a task for each address.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

use super::{
    Identity, Role,
    address::{Address, Made},
    errors::ConnectError,
    identity::beat,
    metrics,
    pool::Pool,
    topology::Topology,
};

/// A server that does not answer a question of ours for this long is gone.
pub(super) const SILENT: Duration = Duration::from_secs(1);
/// How often a server is asked who it is: a primary that steps down closes its connections, and a
/// promotion is looked for at each tick while there is no primary.
pub(super) const WHO: Duration = Duration::from_secs(1);
/// How often an address is asked by a new connection: it may lead to another server by now.
const ANEW: Duration = Duration::from_secs(2);
/// Most servers behind one address that are watched at once.
const HELD: usize = 8;
/// At least this long between two rounds, however many have doubts.
const PAUSE: Duration = Duration::from_millis(100);

/// Watches one address.
pub(super) struct Prober {
    at: usize,
    address: Arc<Address>,
    pool: Arc<Pool>,
    topology: Arc<Topology>,
    interval: Duration,
    held: Vec<Held>,
    /// At most one, beside the questions: it may take as long as a connection may.
    connecting: JoinSet<Result<Made, ConnectError>>,
    anew: Option<Instant>,
    unreachable: bool,
    shown: Option<Instant>,
}

struct Held {
    made: Made,
    asked: Instant,
}

impl Prober {
    pub(super) fn new(
        at: usize,
        address: Arc<Address>,
        pool: Arc<Pool>,
        topology: Arc<Topology>,
        interval: Duration,
    ) -> Self {
        Self {
            at,
            address,
            pool,
            topology,
            interval,
            held: Vec::new(),
            connecting: JoinSet::new(),
            anew: None,
            unreachable: false,
            shown: None,
        }
    }

    /// Never ends: it is to be aborted.
    pub(super) async fn run(mut self) {
        let mut ticks = interval(self.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let topology = Arc::clone(&self.topology);
        loop {
            // Registered before the round, so that no doubt during it is missed.
            let doubt = topology.doubt.notified();
            tokio::pin!(doubt);
            doubt.as_mut().enable();
            self.round().await;
            tokio::select! {
                _ = ticks.tick() => {}
                Some(made) = self.connecting.join_next() => {
                    self.connected(made.unwrap_or(Err(ConnectError::Timeout)));
                }
                () = doubt => {
                    tokio::time::sleep(PAUSE).await;
                    self.anew = None;
                    self.ask_all_again();
                }
            }
        }
    }

    fn ask_all_again(&mut self) {
        let long_ago = Instant::now().checked_sub(WHO).unwrap_or_else(Instant::now);
        for held in &mut self.held {
            held.asked = long_ago;
        }
    }

    async fn round(&mut self) {
        let leaderless = self.topology.watch().borrow().is_none();
        for at in (0..self.held.len()).rev() {
            if !self.ask(at, leaderless).await {
                let gone = self.held.swap_remove(at);
                self.topology.lost(&gone.made.identity.run);
                self.anew = None;
            }
        }
        let now = Instant::now();
        let pause = if self.held.is_empty() {
            // A connection that is refused at once must not be tried again at once.
            self.interval
        } else {
            ANEW
        };
        if self.anew.is_none_or(|anew| now - anew >= pause) {
            self.anew = Some(now);
            self.connect();
        }
        self.pool.tidy();
        self.report();
    }

    /// Whether the server still answers.
    async fn ask(&mut self, at: usize, leaderless: bool) -> bool {
        let held = &mut self.held[at];
        if held.made.client.is_closed() {
            return false;
        }
        let now = Instant::now();
        if leaderless || now - held.asked >= WHO {
            let Ok((who, time)) = Identity::ask(&held.made.client, SILENT).await else {
                return false;
            };
            self.topology.observe(self.at, &who, now);
            self.topology.tells(&who.run, time);
            held.made.identity = who;
            held.asked = now;
        }
        let Some(reader) = self.topology.beats.reader() else {
            return true;
        };
        if held.made.identity.role != Role::Replica {
            return true;
        }
        let run = &held.made.identity.run;
        match beat(&held.made.client, reader, SILENT).await {
            Ok(beat) => {
                let sent = beat.and_then(|beat| self.topology.beats.when(reader, beat));
                self.topology.observe(self.at, &held.made.identity, now);
                self.topology.shows(run, sent);
                true
            }
            // A conflict with recovery, a table that is not there yet: it shows nothing new.
            Err(super::IdentityError::Postgres(error)) => !super::severs(&error),
            Err(_) => false,
        }
    }

    fn connect(&mut self) {
        if self.connecting.is_empty() {
            let address = Arc::clone(&self.address);
            self.connecting
                .spawn(async move { address.connect().await });
        }
    }

    fn connected(&mut self, made: Result<Made, ConnectError>) {
        let made = match made {
            Ok(made) => made,
            Err(error) => {
                if !std::mem::replace(&mut self.unreachable, self.held.is_empty()) {
                    tracing::warn!(server = self.address.name, %error, "a server is away");
                }
                if self.held.is_empty() {
                    self.topology.silent(self.at, Instant::now());
                }
                return;
            }
        };
        if std::mem::take(&mut self.unreachable) {
            tracing::info!(server = self.address.name, "a server is back");
        }
        let now = Instant::now();
        self.topology.observe(self.at, &made.identity, now);
        self.topology.tells(&made.identity.run, made.time);
        let known = |held: &Held| held.made.identity.run == made.identity.run;
        if self.held.len() < HELD && !self.held.iter().any(known) {
            self.held.push(Held { made, asked: now });
        }
    }

    fn report(&mut self) {
        let (name, now) = (&self.address.name, Instant::now());
        // One that is gone falls behind, too.
        let furthest = self.topology.furthest(self.at, now);
        self.shown = furthest.and_then(|lag| now.checked_sub(lag)).or(self.shown);
        if let Some(shown) = self.shown {
            metrics::lag(name, now - shown);
        }
        let (used, idle) = self.pool.counts();
        metrics::connections(name, used, idle);
        let primary = self.topology.watch();
        let timeline = primary.borrow().as_ref().map(|primary| primary.timeline);
        metrics::timeline(timeline);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.made.driver.abort();
    }
}
