//! Asks the servers again and again who they are and how far behind: a task for each address.

use std::{
    pin::pin,
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

/// How often a server is asked who it is: a primary that steps down closes its connections, and a
/// promotion is looked for at each tick while there is no primary.
pub(super) const WHO: Duration = Duration::from_secs(1);
/// How often an address is asked by a new connection: it may lead to another server by now.
const ANEW: Duration = Duration::from_secs(2);
/// The same where the server is itself what is addressed. A new connection costs a server 10 ms.
const ANEW_OF_ITSELF: Duration = Duration::from_secs(10);
/// Most connections that are being made at once, while no server is known at the address. A balancer
/// may have led one of them to a server that is gone, where it hangs until it times out.
const CONNECTING: usize = 4;
/// How much later than the one before the next of them begins.
const HANGS: Duration = Duration::from_millis(500);
/// Most servers behind one address that are watched at once.
const HELD: usize = 8;
/// At least this long between two rounds, however many have doubts.
const PAUSE: Duration = Duration::from_millis(100);

/// How often servers are asked, and how long an answer may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    pub(super) interval: Duration,
    /// A server that does not answer for this long is gone.
    pub(super) timeout: Duration,
}

/// Watches one address.
pub(super) struct Prober {
    at: usize,
    address: Arc<Address>,
    pool: Arc<Pool>,
    topology: Arc<Topology>,
    pace: Pace,
    /// Of which no answer is awaited.
    held: Vec<Held>,
    /// Those of which one is. `Err`: it does not answer any more.
    asking: JoinSet<Result<Held, Held>>,
    /// Beside the questions: each may take as long as a connection may.
    connecting: JoinSet<Result<Connected, ConnectError>>,
    anew: Option<Instant>,
    /// What answered last is itself what is addressed.
    is_itself: bool,
    unreachable: bool,
    shown: Option<Instant>,
}

struct Connected {
    made: Made,
    /// See [`Address::is_itself`].
    is_itself: bool,
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
        pace: Pace,
    ) -> Self {
        Self {
            at,
            address,
            pool,
            topology,
            pace,
            held: Vec::new(),
            asking: JoinSet::new(),
            connecting: JoinSet::new(),
            anew: None,
            is_itself: false,
            unreachable: false,
            shown: None,
        }
    }

    /// Never ends: it is to be aborted.
    pub(super) async fn run(mut self) {
        let mut ticks = interval(self.pace.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let topology = Arc::clone(&self.topology);
        // Always registered, so that no doubt is missed.
        let mut doubt = pin!(topology.doubt.notified());
        doubt.as_mut().enable();
        loop {
            tokio::select! {
                _ = ticks.tick() => self.ask_all(),
                Some(made) = self.connecting.join_next() => {
                    self.connected(made.unwrap_or(Err(ConnectError::Timeout)));
                }
                Some(Ok(answer)) = self.asking.join_next() => self.answered(answer),
                () = doubt.as_mut() => {
                    doubt.set(topology.doubt.notified());
                    doubt.as_mut().enable();
                    tokio::time::sleep(PAUSE).await;
                    self.anew = None;
                    self.ask_all_again();
                }
            }
            self.tend();
        }
    }

    fn ask_all_again(&mut self) {
        let long_ago = Instant::now().checked_sub(WHO).unwrap_or_else(Instant::now);
        for held in &mut self.held {
            held.asked = long_ago;
        }
        self.ask_all();
    }

    /// Asks those of which no answer is awaited. One that hangs delays no other, nor what a new
    /// connection shows: the address may lead to the next primary by now.
    fn ask_all(&mut self) {
        let leaderless = self.is_leaderless();
        for held in self.held.drain(..) {
            let round = Round {
                at: self.at,
                topology: Arc::clone(&self.topology),
                leaderless,
                timeout: self.pace.timeout,
            };
            self.asking.spawn(round.ask(held));
        }
    }

    fn answered(&mut self, answer: Result<Held, Held>) {
        match answer {
            Ok(held) => self.hold(held),
            Err(gone) => {
                let run = &gone.made.identity.run;
                // Over another connection it has answered meanwhile.
                if !self.held.iter().any(|held| held.made.identity.run == *run) {
                    self.topology.lost(run);
                }
                self.anew = None;
            }
        }
    }

    fn hold(&mut self, held: Held) {
        let run = &held.made.identity.run;
        let known = self.held.iter().any(|one| one.made.identity.run == *run);
        if !known && self.held.len() + self.asking.len() < HELD {
            self.held.push(held);
        }
    }

    /// Whether there is no connection that is watched.
    fn is_alone(&self) -> bool {
        self.held.is_empty() && self.asking.is_empty()
    }

    fn is_leaderless(&self) -> bool {
        self.topology.watch().borrow().is_none()
    }

    fn tend(&mut self) {
        let now = Instant::now();
        // An address that refuses at once must not be asked again at once.
        let pause = match (self.is_alone(), self.connecting.is_empty()) {
            (true, true) => self.pace.interval,
            (true, false) => HANGS,
            // Its name may lead elsewhere by now, too.
            (false, _) if self.is_itself && !self.is_leaderless() => ANEW_OF_ITSELF,
            (false, _) => ANEW,
        };
        if self.anew.is_none_or(|anew| now - anew >= pause) {
            self.anew = Some(now);
            self.connect();
        }
        self.pool.tidy();
        self.report();
    }

    fn connect(&mut self) {
        let most = if self.is_alone() { CONNECTING } else { 1 };
        if self.connecting.len() < most {
            let address = Arc::clone(&self.address);
            self.connecting.spawn(async move {
                let made = address.connect().await?;
                let is_itself = address.is_itself(&made.identity).await;
                Ok(Connected { made, is_itself })
            });
        }
    }

    fn connected(&mut self, connected: Result<Connected, ConnectError>) {
        let Connected { made, is_itself } = match connected {
            Ok(connected) => connected,
            Err(error) => {
                let alone = self.is_alone();
                if !std::mem::replace(&mut self.unreachable, alone) {
                    tracing::warn!(server = self.address.name, %error, "a server is away");
                }
                if alone {
                    self.topology.silent(self.at, Instant::now());
                }
                return;
            }
        };
        if std::mem::take(&mut self.unreachable) {
            tracing::info!(server = self.address.name, "a server is back");
        }
        self.is_itself = is_itself;
        let now = Instant::now();
        self.topology.observe(self.at, &made.identity, now);
        self.topology.tells(&made.identity.run, made.time);
        self.hold(Held { made, asked: now });
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

/// A question to one server at an address.
struct Round {
    at: usize,
    topology: Arc<Topology>,
    leaderless: bool,
    timeout: Duration,
}

impl Round {
    async fn ask(self, mut held: Held) -> Result<Held, Held> {
        if self.answers(&mut held).await {
            Ok(held)
        } else {
            Err(held)
        }
    }

    async fn answers(&self, held: &mut Held) -> bool {
        if held.made.client.is_closed() {
            return false;
        }
        let now = Instant::now();
        if self.leaderless || now - held.asked >= WHO {
            let Ok((who, time)) = Identity::ask(&held.made.client, self.timeout).await else {
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
        match beat(&held.made.client, reader, self.timeout).await {
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
}

impl Drop for Held {
    fn drop(&mut self) {
        self.made.driver.abort();
    }
}
