//! Whoever validates tokens by himself is told what is over, and for how long to believe that it is
//! all.

use std::{sync::Arc, time::Duration};

use crate::{
    caller::{Caller, NotAllowed},
    failure::{Failure, Kind},
    ports::store::Revocation,
    revocation::{Lagged, Subscription, Whole},
    scope::Scope,
    sso::Sso,
};

/// Why a watch ends by itself.
#[derive(Debug, thiserror::Error)]
pub enum WatchEnded {
    /// The caller may not watch, or not any more.
    #[error(transparent)]
    NotAllowed(#[from] NotAllowed),
    /// More was revoked than is kept for a slow reader.
    #[error(transparent)]
    Lagged(#[from] Lagged),
    /// The reader did not take what is there for too long.
    #[error("the messages were not read in time")]
    Unread,
    /// There are as many watchers as there may be.
    #[error("there are too many watchers")]
    Full,
    /// The service stops.
    #[error("the service is stopping")]
    Stopping,
}

/// When to try again after [`WatchEnded::Full`] and [`WatchEnded::Stopping`].
const RETRY: Duration = Duration::from_secs(1);

impl From<WatchEnded> for Failure {
    fn from(ended: WatchEnded) -> Self {
        match ended {
            WatchEnded::NotAllowed(error) => error.into(),
            WatchEnded::Lagged(_) | WatchEnded::Unread => Self::new(
                Kind::RateLimited,
                "slow_reader",
                "cut off: the messages of this stream were not read in time",
            ),
            WatchEnded::Full => {
                Self::unavailable("overloaded", "there are too many watchers", RETRY)
            }
            WatchEnded::Stopping => {
                Self::unavailable("unavailable", "the service is stopping", RETRY)
            }
        }
    }
}

/// What a watcher is told at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News {
    /// When: this long after the watch began.
    pub sent_after: Duration,
    /// For how long from then on this instance believes that it knows everything.
    pub trusted_for: Duration,
    /// What was revoked since the news before: with it, everything until that moment.
    pub revocations: Vec<Revocation>,
}

/// A watch that goes on.
pub struct Watch {
    sso: Sso,
    began: Duration,
    /// Until all of it was given.
    set: Option<Arc<Whole>>,
    given: usize,
    news: Subscription,
}

/// Begins to watch. `began` is when the call came, on the monotonic clock.
pub fn watch(sso: &Sso, caller: &Caller, began: Duration) -> Result<Watch, WatchEnded> {
    caller.may(Scope::RevocationsRead)?;
    let (set, news) = sso.revocations.subscribe();
    Ok(Watch {
        sso: sso.clone(),
        began,
        set: Some(set),
        given: 0,
        news,
    })
}

impl Watch {
    /// The next part of the set, at most this many; empty when all of it was given.
    pub fn part(&mut self, most: usize) -> Vec<Revocation> {
        let entries = self.set.as_ref().map_or(&[][..], |set| set.entries());
        let rest = entries.get(self.given..).unwrap_or_default();
        let part: Vec<_> = rest.iter().take(most).copied().collect();
        self.given += part.len();
        if part.is_empty() {
            self.set = None;
        }
        part
    }

    /// Waits for something new.
    pub async fn changed(&mut self) {
        self.news.changed().await;
    }

    /// What is new. Time and lease are read first and the entries last: each that was applied before
    /// the lease was is among them.
    pub fn news(&mut self) -> Result<News, WatchEnded> {
        let sent_after = self.sso.clock.monotonic().saturating_sub(self.began);
        let trusted_for = self.sso.revocations.lease_left();
        Ok(News {
            sent_after,
            trusted_for,
            revocations: self.news.take()?,
        })
    }
}
