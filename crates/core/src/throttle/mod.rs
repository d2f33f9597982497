//! Throttling by counters in this process.
//!
//! Three rules for passwords, all of which must admit an attempt: the account from this network,
//! the account from everywhere, the network on all accounts. Their tables are bounded, and keep
//! nothing of who signs in at once. See `docs/decisions/0014` for the reasons.

mod memories;
mod table;
mod tally;

use std::{
    collections::HashMap,
    future::poll_fn,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

use async_trait::async_trait;
pub use tally::{Count, Rules, Tally};

use self::{
    memories::{Account, NETWORK_PAUSE, Neighbourhood, Pair, REPEATER, Registrations, Turn},
    table::Table,
};
use crate::{
    caller::Network,
    ports::{Attempt, Clock, Permit, Settled, Throttle, ThrottleReason, Throttled},
    values::Email,
};

/// Most attempts of one account and network that wait for those under way.
const MAX_WAITING: usize = 64;
/// What is said to one more, and to whom nothing better can be said.
const SHORTLY: Duration = Duration::from_secs(1);

/// The limits. Rates of 0 are taken for 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThrottleSettings {
    /// Failures of an account from one network before the first delay.
    pub free_attempts: u32,
    /// The longest delay: they are 1, 2, 4 .. s.
    pub longest_delay: Duration,
    /// Failures of an account in a row, from everywhere, before networks that it does not know
    /// share one attempt each `longest_delay`.
    pub account_failures: u32,
    /// Accounts on which a network may fail in ten minutes before it has one attempt a second.
    pub network_accounts: u32,
    /// Registrations a second of one network.
    pub registrations_per_second: u32,
    /// Registrations of one network at once.
    pub registration_burst: u32,
    /// How often a network may learn that an address has an account, at once; then ten times a
    /// minute.
    pub registration_conflicts: u32,
    /// Most keys of each table.
    pub tracked: usize,
}

impl Default for ThrottleSettings {
    fn default() -> Self {
        Self {
            free_attempts: 5,
            longest_delay: Duration::from_mins(1),
            account_failures: 100,
            network_accounts: 1000,
            registrations_per_second: 100,
            registration_burst: 5000,
            registration_conflicts: 1000,
            tracked: 100_000,
        }
    }
}

impl ThrottleSettings {
    fn registration_interval(&self) -> Duration {
        Duration::from_secs(1) / self.registrations_per_second.max(1)
    }
}

/// After `registration_conflicts` answers of "user already exists".
const CONFLICT_INTERVAL: Duration = Duration::from_secs(6);

/// An account under a keyed hash: what is counted here does not hold addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AccountKey(pub u128);

/// Hashes the canonical address under a key of this process.
pub type AccountKeys = Arc<dyn Fn(&Email) -> AccountKey + Send + Sync>;

/// A [`Throttle`] in this process.
pub struct LocalThrottle {
    settings: ThrottleSettings,
    clock: Arc<dyn Clock>,
    keys: AccountKeys,
    state: Arc<Mutex<State>>,
}

struct State {
    pairs: Table<(AccountKey, Network), Pair>,
    accounts: Table<AccountKey, Account>,
    networks: Table<Network, Neighbourhood>,
    registrations: Table<Network, Registrations>,
    /// Who waits for attempts under way. No list is empty.
    waiting: HashMap<(AccountKey, Network), Vec<Waker>>,
}

/// What an attempt is told.
enum Verdict {
    Admitted,
    Waits,
    Refused(Throttled),
}

impl LocalThrottle {
    /// Nothing is remembered yet.
    pub fn new(settings: ThrottleSettings, clock: Arc<dyn Clock>, keys: AccountKeys) -> Self {
        let tracked = settings.tracked;
        Self {
            settings,
            clock,
            keys,
            state: Arc::new(Mutex::new(State {
                pairs: Table::new(tracked),
                accounts: Table::new(tracked),
                networks: Table::new(tracked),
                registrations: Table::new(tracked),
                waiting: HashMap::new(),
            })),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    fn poll_admit(
        &self,
        key: (AccountKey, Network),
        known: bool,
        cx: &Context<'_>,
    ) -> Poll<Result<(), Throttled>> {
        let now = self.clock.monotonic();
        let mut state = self.state();
        match state.judge(key, known, now, &self.settings) {
            Verdict::Admitted => {
                state.reserve(key, now);
                Poll::Ready(Ok(()))
            }
            Verdict::Refused(throttled) => Poll::Ready(Err(throttled)),
            Verdict::Waits => {
                let waiting = state.waiting.entry(key).or_default();
                if waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
                    return Poll::Pending;
                }
                if waiting.len() >= MAX_WAITING {
                    return Poll::Ready(Err(Throttled::by(
                        ThrottleReason::AccountNetwork,
                        SHORTLY,
                    )));
                }
                waiting.push(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

#[async_trait]
impl Throttle for LocalThrottle {
    async fn admit(&self, attempt: Attempt<'_>) -> Result<Permit, Throttled> {
        let key = ((self.keys)(attempt.email), attempt.network);
        poll_fn(|cx| self.poll_admit(key, attempt.known, cx)).await?;
        let (state, clock) = (Arc::clone(&self.state), Arc::clone(&self.clock));
        Ok(Permit::new(move |settled| {
            let waiting = lock(&state).settle(key, settled, clock.monotonic());
            waiting.into_iter().for_each(Waker::wake);
        }))
    }

    async fn admit_registration(&self, network: Network) -> Result<(), Throttled> {
        let now = self.clock.monotonic();
        let interval = self.settings.registration_interval();
        let mut state = self.state();
        let known = state.registrations.entry(network, now);
        let tried = known
            .tried
            .wait(now, interval, self.settings.registration_burst);
        let conflicts = self.settings.registration_conflicts;
        let wait = tried.max(known.told.wait(now, CONFLICT_INTERVAL, conflicts));
        if !wait.is_zero() {
            return Err(Throttled::by(ThrottleReason::Registration, wait));
        }
        known.tried.take(now, interval);
        Ok(())
    }

    async fn registration_told(&self, network: Network) {
        let now = self.clock.monotonic();
        let mut state = self.state();
        let known = state.registrations.entry(network, now);
        known.told.take(now, CONFLICT_INTERVAL);
    }
}

impl State {
    /// Changes nothing, but for the turns that are given one at a time.
    fn judge(
        &mut self,
        key: (AccountKey, Network),
        known: bool,
        now: Duration,
        settings: &ThrottleSettings,
    ) -> Verdict {
        let pair = self.pairs.get(key, now);
        match pair.map_or(Turn::Now, |pair| pair.turn(now, settings)) {
            Turn::Now => {}
            Turn::Perhaps => return Verdict::Waits,
            Turn::In(wait) => {
                return Verdict::Refused(Throttled::by(ThrottleReason::AccountNetwork, wait));
            }
        }
        if known {
            return Verdict::Admitted;
        }
        let (account, network) = key;
        let capped = self.accounts.get(account, now).is_some_and(|account| {
            account.failures.saturating_add(account.under_way) >= settings.account_failures
        });
        let slowed = self
            .networks
            .get(network, now)
            .is_some_and(|network| network.accounts(now) >= settings.network_accounts);
        let repeats = pair.filter(|pair| pair.failures > 0);
        let again = repeats.map_or(Duration::ZERO, |pair| pair.last + REPEATER);
        let mut waits = Vec::with_capacity(2);
        if capped {
            let next = self.accounts.entry(account, now).next.max(again);
            waits.push((ThrottleReason::Account, next.saturating_sub(now)));
        }
        if slowed {
            let next = self.networks.entry(network, now).next;
            waits.push((ThrottleReason::Network, next.saturating_sub(now)));
        }
        let longest = waits.into_iter().max_by_key(|(_, wait)| *wait);
        if let Some((reason, wait)) = longest.filter(|(_, wait)| !wait.is_zero()) {
            return Verdict::Refused(Throttled::by(reason, wait));
        }
        if capped {
            self.accounts.entry(account, now).next = now + settings.longest_delay;
        }
        if slowed {
            self.networks.entry(network, now).next = now + NETWORK_PAUSE;
        }
        Verdict::Admitted
    }

    fn reserve(&mut self, key: (AccountKey, Network), now: Duration) {
        self.pairs.entry(key, now).under_way += 1;
        self.accounts.entry(key.0, now).under_way += 1;
    }

    /// Returns who waited for that.
    fn settle(
        &mut self,
        key: (AccountKey, Network),
        settled: Settled,
        now: Duration,
    ) -> Vec<Waker> {
        let (account, network) = key;
        let of_pair = self.pairs.entry(key, now);
        let of_account = self.accounts.entry(account, now);
        of_pair.under_way = of_pair.under_way.saturating_sub(1);
        of_account.under_way = of_account.under_way.saturating_sub(1);
        match settled {
            Settled::Succeeded => {
                of_pair.failures = 0;
                of_account.failures = 0;
            }
            Settled::Failed => {
                of_account.failures = of_account.failures.saturating_add(1);
                of_account.last = now;
                if of_pair.fail(now) {
                    self.networks.entry(network, now).count(now);
                }
            }
            Settled::Unjudged => {}
        }
        self.pairs.tidy(key, now);
        self.accounts.tidy(account, now);
        self.waiting.remove(&key).unwrap_or_default()
    }
}

/// Nothing that can panic runs under this lock, so poison says nothing.
fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
