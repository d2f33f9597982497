//! Revocation: what is over, and for how long this instance may believe that it knows.
//!
//! Validating a token costs no network: each instance holds the revocations that still matter. It
//! certifies itself by beats: a beat that was answered is a lease from the moment it was *sent*.
//! Without a lease nothing is validated: no answer is better than a wrong one.

mod feed;
mod set;
mod steady;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

pub use feed::{FEED_CAPACITY, Lagged, Subscription};
pub use set::RevocationSet;
pub use steady::MAX_AHEAD;
use steady::Steady;
use time::OffsetDateTime;

use crate::{
    ports::{
        AccessClaims, AccessKind, Clock, Store, StoreError, TokenRefused, Tokens,
        store::{Freshness, Reach, Revocation, Revoked},
    },
    values::{UserId, Version},
};

/// How long an answered beat is believed, and how long an acknowledgement is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseTerms {
    /// `L`: how long after it was sent an answered beat is believed.
    pub lease: Duration,
    /// How long a request waits for `everywhere` before it answers `pending`.
    pub ack_wait: Duration,
}

impl Default for LeaseTerms {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(10),
            ack_wait: Duration::from_secs(1),
        }
    }
}

/// What this instance knows of revocations.
pub struct Revocations {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    terms: LeaseTerms,
    set: RevocationSet,
    /// Tells watchers of each entry.
    feed: Arc<feed::Feed>,
    /// Stops to believe retired keys.
    tokens: Option<Arc<dyn Tokens>>,
    /// Milliseconds on the monotonic clock until which the set is trusted; 0 is never.
    trusted_until: AtomicU64,
    /// What is known of the wall clock's jumps.
    steady: Steady,
    /// Milliseconds for which what is heard is believed at least.
    life: AtomicU64,
    /// Whether a beat brought news and others have not been told yet that they are obeyed.
    unconfirmed: AtomicBool,
}

impl Revocations {
    /// Knows nothing and trusts nothing before the first [beat](Self::beat).
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>, terms: LeaseTerms) -> Self {
        Self {
            store,
            clock,
            terms,
            set: RevocationSet::default(),
            feed: Arc::default(),
            tokens: None,
            trusted_until: AtomicU64::new(0),
            steady: Steady::default(),
            life: AtomicU64::new(0),
            unconfirmed: AtomicBool::new(false),
        }
    }

    /// Tells `tokens` of each key that was retired, before anybody is told that this is obeyed.
    #[must_use]
    pub fn telling(mut self, tokens: Arc<dyn Tokens>) -> Self {
        self.tokens = Some(tokens);
        self
    }

    /// What is heard from now on is held for at least so long, whatever the wall clock says.
    pub fn hold_for(&self, life: Duration) {
        self.life.fetch_max(milliseconds(life), Ordering::Relaxed);
    }

    /// The latest time that this process has seen on the wall clock, `now` included: the clock may
    /// have been set back since tokens were signed. At most [`MAX_AHEAD`] after `now`.
    pub fn latest(&self, now: OffsetDateTime) -> OffsetDateTime {
        self.steady.latest(now)
    }

    /// The wall clock as it would be had nobody set it forward since the first beat; never later
    /// than it is.
    pub fn steady_now(&self) -> OffsetDateTime {
        self.steady.now(self.clock.now(), self.clock.monotonic())
    }

    fn apply(&self, entry: &Revocation) {
        if let (Revoked::Key(key), Some(tokens)) = (entry.revoked, &self.tokens) {
            tokens.retire(key);
        }
        // By a clock that nobody sets. Whoever wrote the entry may know another time than we do just
        // now: what is news is held for as long as a token lives.
        let left = (entry.until - self.clock.now()).max(time::Duration::ZERO);
        let life = Duration::from_millis(self.life.load(Ordering::Relaxed));
        let now = self.clock.monotonic();
        self.set.apply(entry, now + left.unsigned_abs(), now + life);
        self.feed.publish(entry);
    }

    /// Whether a token that is good by itself is still good. A token of the seed has no `ver`: what
    /// was done to its user is in his row, which the use case asks. Looks the set up first and reads the
    /// lease last: the other way round a process frozen in between would accept what it had missed.
    pub fn check(&self, claims: &AccessClaims) -> Result<(), TokenRefused> {
        let revoked = match claims.kind {
            AccessKind::Seed => self.set.hits_session(claims.session),
            AccessKind::Ring | AccessKind::Compat => {
                self.set.hits(claims.session, claims.user, claims.version)
            }
        };
        if !self.is_trusted() {
            return Err(TokenRefused::Unknowable);
        }
        if revoked {
            Err(TokenRefused::Revoked)
        } else {
            Ok(())
        }
    }

    /// How fresh a read of the user's row must be so as to show all that is known of him: at least
    /// `seen`, and at least what was revoked. The set is only as good as its lease: without one the
    /// primary decides. Set first, lease last, as in [`check`](Self::check).
    pub fn freshness(&self, user: UserId, seen: Version) -> Freshness {
        let known = seen.max(self.set.floor(user));
        if self.is_trusted() {
            Freshness::AtLeast(known)
        } else {
            Freshness::Primary
        }
    }

    /// Asks for what others committed and extends the lease. Called by one loop, never twice at
    /// once.
    pub async fn beat(&self) -> Result<(), StoreError> {
        let sent = self.clock.monotonic();
        let now = self.clock.now();
        self.steady.latest(now);
        let news = self.store.beat(self.steady.now(now, sent)).await?;
        if !news.is_empty() {
            self.unconfirmed.store(true, Ordering::Relaxed);
        }
        for entry in &news {
            self.apply(entry);
        }
        self.set.forget_before(self.clock.monotonic());
        self.trusted_until
            .fetch_max(milliseconds(sent + self.terms.lease), Ordering::Release);
        if self.unconfirmed.load(Ordering::Relaxed) {
            self.store.confirm().await?;
            self.unconfirmed.store(false, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Obeys what this instance has just committed, then waits for the others.
    pub async fn announce(&self, entries: &[Revocation]) -> Reach {
        for entry in entries {
            self.apply(entry);
        }
        let Some(last) = entries.iter().map(|entry| entry.id).max() else {
            return Reach::Everywhere;
        };
        match self.store.acknowledged(last, self.terms.ack_wait).await {
            Ok(reach) => reach,
            Err(error) => {
                tracing::warn!(%error, "a committed revocation was not acknowledged");
                Reach::Pending
            }
        }
    }

    /// Obeys a revocation that is committed and whose entry has not come yet.
    pub fn obey(&self, revoked: Revoked, until: OffsetDateTime) {
        self.apply(&Revocation {
            id: 0,
            revoked,
            until,
        });
    }

    /// Whether the lease runs.
    pub fn is_trusted(&self) -> bool {
        self.lease_left() > Duration::ZERO
    }

    /// How long the set is still believed.
    pub fn lease_left(&self) -> Duration {
        Duration::from_millis(self.trusted_until.load(Ordering::Acquire))
            .saturating_sub(self.clock.monotonic())
    }

    /// How many revocations still matter.
    pub fn entries(&self) -> usize {
        self.set.len()
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
