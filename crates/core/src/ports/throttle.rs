//! Who may try again, and when.

use std::time::Duration;

use async_trait::async_trait;

use crate::{
    caller::Network,
    failure::{Failure, Kind},
    values::Email,
};

/// An attempt to prove that one knows an account's password.
#[derive(Debug, Clone, Copy)]
pub struct Attempt<'a> {
    /// The account, whether it exists or not: nothing here may depend on that.
    pub email: &'a Email,
    /// Where it comes from.
    pub network: Network,
    /// Whether the account has signed in from there before. See [`Throttled::spares_known`].
    pub known: bool,
}

/// Slows down who guesses. Time is the [`Clock`](super::Clock)'s.
///
/// The rules are those of `docs/decisions/0014`: none of them is a lock-out that a stranger can
/// cause.
#[async_trait]
pub trait Throttle: Send + Sync {
    /// Admits an attempt before anything is hashed. What is admitted counts as failed until it is
    /// settled, so that many at once cannot pass together; who might succeed if those under way do
    /// waits for them.
    async fn admit(&self, attempt: Attempt<'_>) -> Result<Permit, Throttled>;

    /// Admits a registration.
    async fn admit_registration(&self, network: Network) -> Result<(), Throttled>;

    /// A registration was refused because the address has an account: that tells something.
    async fn registration_told(&self, network: Network);
}

/// What became of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// The password was right, and somebody was signed in.
    Succeeded,
    /// The password was wrong, or there is no such account.
    Failed,
    /// It was not judged, or nothing follows from it: overload, a fault of ours, a disabled user.
    Unjudged,
}

/// An admitted attempt. Dropped without a word it has failed: a client that goes away before the
/// answer must not try for free.
#[must_use = "dropped, the attempt counts as failed"]
pub struct Permit(Option<Box<dyn FnOnce(Settled) + Send>>);

impl std::fmt::Debug for Permit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Permit(..)")
    }
}

impl Permit {
    /// A permit that tells `settle` once.
    pub fn new(settle: impl FnOnce(Settled) + Send + 'static) -> Self {
        Self(Some(Box::new(settle)))
    }

    /// Says what became of the attempt.
    pub fn settle(mut self, settled: Settled) {
        self.tell(settled);
    }

    fn tell(&mut self, settled: Settled) {
        if let Some(settle) = self.0.take() {
            settle(settled);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.tell(Settled::Failed);
    }
}

/// Which rule refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ThrottleReason {
    /// Failed logins of this account from this network.
    AccountNetwork,
    /// Failed logins of this account in a row, from everywhere.
    Account,
    /// Accounts on which this network failed.
    Network,
    /// Registrations of this network, or what they were told.
    Registration,
    /// Requests of this address to this route.
    Address,
}

impl ThrottleReason {
    /// Every one.
    pub const ALL: [Self; 5] = [
        Self::AccountNetwork,
        Self::Account,
        Self::Network,
        Self::Registration,
        Self::Address,
    ];

    /// Reads a label.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == text)
    }

    /// Whether this rule spares networks from which the account has signed in before.
    const fn spares_known(self) -> bool {
        matches!(self, Self::Account | Self::Network)
    }

    /// As a label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AccountNetwork => "account_network",
            Self::Account => "account",
            Self::Network => "network",
            Self::Registration => "registration",
            Self::Address => "address",
        }
    }
}

/// Too many, too fast.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many requests ({reason:?})")]
pub struct Throttled {
    /// When the next attempt may be admitted.
    pub retry_after: Duration,
    /// The rule. Not for the client.
    pub reason: ThrottleReason,
    /// Whether the rule spares networks from which the account has signed in before.
    pub spares_known: bool,
}

impl Throttled {
    /// Refused by a rule.
    pub const fn by(reason: ThrottleReason, retry_after: Duration) -> Self {
        Self {
            retry_after,
            reason,
            spares_known: reason.spares_known(),
        }
    }
}

/// One answer for every rule.
impl From<Throttled> for Failure {
    fn from(throttled: Throttled) -> Self {
        Self {
            retry_after: Some(throttled.retry_after),
            ..Self::new(
                Kind::RateLimited,
                "rate_limited",
                "too many requests, try again later",
            )
        }
    }
}

/// Admits everything.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unthrottled;

#[async_trait]
impl Throttle for Unthrottled {
    async fn admit(&self, _: Attempt<'_>) -> Result<Permit, Throttled> {
        Ok(Permit(None))
    }

    async fn admit_registration(&self, _: Network) -> Result<(), Throttled> {
        Ok(())
    }

    async fn registration_told(&self, _: Network) {}
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn a_permit_that_is_dropped_has_failed_and_one_that_is_settled_tells_once() {
        let (tell, told) = mpsc::channel();
        let permit = || {
            let tell = tell.clone();
            Permit::new(move |settled| tell.send(settled).unwrap())
        };
        drop(permit());
        permit().settle(Settled::Succeeded);
        assert_eq!(
            told.try_iter().collect::<Vec<_>>(),
            [Settled::Failed, Settled::Succeeded]
        );
    }
}
