//! What a count that instances share and the one of this process tell each other, so that neither
//! begins anew when the other is lost.

use std::{sync::Arc, time::Duration};

use super::{
    CONFLICT_INTERVAL, LocalThrottle, ThrottleSettings, lock,
    memories::{FORGET_ACCOUNT, FORGET_PAIR, NETWORK_PAUSE, REPEATER},
};
use crate::{caller::Network, ports::Permit, values::Email};

/// Failures in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Count {
    /// How many; 0: nothing is known.
    pub failures: u32,
    /// How long ago the last one was.
    pub age: Duration,
    /// Names the success that ended the row before, by a number that rises; 0: not known. Whoever
    /// counted on beside it without having heard of that success counted too many.
    pub mark: u64,
}

/// What is counted of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// From one network.
    pub pair: Count,
    /// From everywhere.
    pub account: Count,
}

/// The limits with what is no setting, for who counts elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// See [`ThrottleSettings::free_attempts`].
    pub free_attempts: u32,
    /// See [`ThrottleSettings::longest_delay`].
    pub longest_delay: Duration,
    /// See [`ThrottleSettings::account_failures`].
    pub account_failures: u32,
    /// See [`ThrottleSettings::network_accounts`].
    pub network_accounts: u32,
    /// Failures from one network are forgotten so long after the last one.
    pub forget_pair: Duration,
    /// The same of all failures of an account.
    pub forget_account: Duration,
    /// Over the cap: a network that failed on the account before waits so long.
    pub repeater: Duration,
    /// Between two attempts of a network that fails on too many accounts.
    pub network_pause: Duration,
    /// Between two registrations of a network, after [`ThrottleSettings::registration_burst`].
    pub registration_interval: Duration,
    /// See [`ThrottleSettings::registration_burst`].
    pub registration_burst: u32,
    /// Between two answers of "user already exists", after
    /// [`ThrottleSettings::registration_conflicts`].
    pub conflict_interval: Duration,
    /// See [`ThrottleSettings::registration_conflicts`].
    pub registration_conflicts: u32,
}

impl From<&ThrottleSettings> for Rules {
    fn from(settings: &ThrottleSettings) -> Self {
        Self {
            free_attempts: settings.free_attempts,
            longest_delay: settings.longest_delay,
            account_failures: settings.account_failures,
            network_accounts: settings.network_accounts,
            forget_pair: FORGET_PAIR,
            forget_account: FORGET_ACCOUNT,
            repeater: REPEATER,
            network_pause: NETWORK_PAUSE,
            registration_interval: settings.registration_interval(),
            registration_burst: settings.registration_burst,
            conflict_interval: CONFLICT_INTERVAL,
            registration_conflicts: settings.registration_conflicts,
        }
    }
}

impl LocalThrottle {
    /// The limits.
    pub fn rules(&self) -> Rules {
        Rules::from(&self.settings)
    }

    /// What this process counts.
    pub fn tally(&self, email: &Email, network: Network) -> Tally {
        let key = ((self.keys)(email), network);
        let now = self.clock.monotonic();
        let state = self.state();
        let count = |failures, last, mark| Count {
            failures,
            age: now.saturating_sub(last),
            mark,
        };
        let pair = state.pairs.get(key, now);
        let account = state.accounts.get(key.0, now);
        Tally {
            pair: pair.map_or_else(Count::default, |of| count(of.failures, of.last, of.mark)),
            account: account.map_or_else(Count::default, |of| count(of.failures, of.last, of.mark)),
        }
    }

    /// Goes on from what all instances together have counted.
    pub fn take_over(&self, email: &Email, network: Network, shared: &Tally) {
        let key = ((self.keys)(email), network);
        let now = self.clock.monotonic();
        let mut state = self.state();
        // Nothing is kept of who signs in at once.
        if shared.pair.failures > 0 || state.pairs.get(key, now).is_some() {
            let pair = state.pairs.entry(key, now);
            pair.failures = shared.pair.failures;
            pair.last = now.saturating_sub(shared.pair.age);
            pair.mark = shared.pair.mark;
            state.pairs.tidy(key, now);
        }
        if shared.account.failures > 0 || state.accounts.get(key.0, now).is_some() {
            let account = state.accounts.entry(key.0, now);
            account.failures = shared.account.failures;
            account.last = now.saturating_sub(shared.account.age);
            account.mark = shared.account.mark;
            state.accounts.tidy(key.0, now);
        }
    }

    /// Counts an attempt that was admitted elsewhere.
    pub fn count(&self, email: &Email, network: Network) -> Permit {
        let key = ((self.keys)(email), network);
        self.state().reserve(key, self.clock.monotonic());
        let (state, clock) = (Arc::clone(&self.state), Arc::clone(&self.clock));
        Permit::new(move |settled| {
            let waiting = lock(&state).settle(key, settled, clock.monotonic());
            waiting.into_iter().for_each(std::task::Waker::wake);
        })
    }
}
