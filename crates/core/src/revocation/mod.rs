//! Revocation: what is over, and for how long this instance may believe that it knows.
//!
//! Validating a token costs no network: each instance holds the revocations that still matter. It
//! certifies itself by beats: a beat that was answered is a lease from the moment it was *sent*.
//! Without a lease nothing is validated: no answer is better than a wrong one.

mod beat;
mod feed;
mod hints;
mod lease;
mod primary_clock;
mod reading;
mod set;
mod status;
mod steady;
mod terms;

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

pub use feed::{FEED_CAPACITY, Lagged, Subscription, Whole};
use metrics::{counter, histogram};
pub use set::RevocationSet;
pub use status::Status;
pub use steady::MAX_AHEAD;
pub use terms::{LeaseTerms, bound};
use time::OffsetDateTime;

use self::{
    feed::Feed, hints::Hints, lease::Lease, primary_clock::PrimaryClock, reading::Answers,
    steady::Steady,
};
use crate::{
    metrics::{EVERYWHERE_AFTER, REVOCATION_ANSWERS},
    ports::{
        AccessClaims, AccessKind, Announcements, Clock, StoreError, TokenRefused, Tokens,
        store::{Freshness, Reach, Revocation, RevocationFeed, Revoked, Stamp},
    },
    values::{SessionId, UserId, Version},
};

/// What this instance knows of revocations.
pub struct Revocations {
    primary: Arc<dyn RevocationFeed>,
    clock: Arc<dyn Clock>,
    terms: LeaseTerms,
    set: RevocationSet,
    feed: Arc<Feed>,
    /// Held from the set to the watchers: whoever finds an entry known says with his next beat that it
    /// is obeyed, and a watcher must not hear of that beat before the entry.
    telling: Mutex<()>,
    steady: Steady,
    primary_clock: PrimaryClock,
    /// Milliseconds for which what is heard is believed at least.
    life: AtomicU64,
    hints: Hints,
    lease: Lease,
    answers: Answers,
    /// Whether the last answer brought something.
    owes: AtomicBool,
    /// Stops to believe retired keys.
    tokens: Option<Arc<dyn Tokens>>,
    /// Asks for a beat before its time.
    hasten: Option<Arc<dyn Fn() + Send + Sync>>,
    /// Tells others at once.
    announcements: Option<Arc<dyn Announcements>>,
}

impl Revocations {
    /// Knows nothing and trusts nothing before the first [beat](Self::beat).
    pub fn new(primary: Arc<dyn RevocationFeed>, clock: Arc<dyn Clock>, terms: LeaseTerms) -> Self {
        Self {
            primary,
            clock,
            terms,
            set: RevocationSet::default(),
            feed: Arc::default(),
            telling: Mutex::default(),
            steady: Steady::default(),
            primary_clock: PrimaryClock::default(),
            life: AtomicU64::new(0),
            hints: Hints::default(),
            lease: Lease::default(),
            answers: Answers::default(),
            owes: AtomicBool::new(false),
            tokens: None,
            hasten: None,
            announcements: None,
        }
    }

    /// Tells `tokens` of each key that was retired, before anybody is told that this is obeyed.
    #[must_use]
    pub fn telling(mut self, tokens: Arc<dyn Tokens>) -> Self {
        self.tokens = Some(tokens);
        self
    }

    /// For whoever sends beats: calls `hasten` when one should not wait for its time, since others wait
    /// to hear what this instance obeys, or somebody says that there is news.
    #[must_use]
    pub fn hastening(mut self, hasten: Arc<dyn Fn() + Send + Sync>) -> Self {
        self.hasten = Some(hasten);
        self
    }

    /// Passes on by `announcements` what is committed here, so that others need not wait for their
    /// next beat.
    #[must_use]
    pub fn announcing(mut self, announcements: Arc<dyn Announcements>) -> Self {
        self.announcements = Some(announcements);
        self
    }

    /// Whether this process sends beats: it serves. A command sends none.
    const fn beats(&self) -> bool {
        self.hasten.is_some()
    }

    fn apply(&self, entry: &Revocation) {
        if let (Revoked::Key(key), Some(tokens)) = (entry.revoked, &self.tokens) {
            tokens.retire(key);
        }
        // By a clock that nobody sets forward.
        let life = Duration::from_millis(self.life.load(Ordering::Relaxed));
        let _telling = self.telling.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever ends what is over, again and again, is heard by nobody.
        if self.set.apply(entry, self.steady_now() + life) {
            self.feed.publish(entry);
        }
    }

    /// What is heard from now on is held for at least so long, whatever the wall clock says.
    pub fn hold_for(&self, life: Duration) {
        let life = u64::try_from(life.as_millis()).unwrap_or(u64::MAX);
        self.life.fetch_max(life, Ordering::Relaxed);
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

    /// The time by the store's clock, as of the last beats; by this instance's where the store has
    /// none or has not told it yet. What instances compare with each other's is told by it.
    pub fn primary_now(&self) -> OffsetDateTime {
        let told = self.primary_clock.now(self.clock.monotonic());
        told.unwrap_or_else(|| self.clock.now())
    }

    /// Whether a token that is good by itself is still good. A token of the seed has no `ver`: what
    /// was done to its user is in his row, which the use case asks. Looks the set up first and reads the
    /// lease last: the other way round a process frozen in between would accept what it had missed.
    pub fn check(&self, claims: &AccessClaims) -> Result<(), TokenRefused> {
        // What a beat confirms is in the set before it leaves the hints: so those first.
        let revoked = self.hints.hits_session(claims.session)
            || self.set.hits_session(claims.session)
            || match claims.kind {
                AccessKind::Seed => false,
                AccessKind::Ring | AccessKind::Compat => claims.version < self.floor(claims.user),
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

    fn floor(&self, user: UserId) -> Version {
        let hinted = self.hints.floor(user);
        hinted.max(self.set.floor(user))
    }

    /// How fresh a read of the user's row must be so as to show all that is known of him: at least
    /// `seen`, and at least what was revoked. The set is only as good as its lease: without one the
    /// primary decides. Set first, lease last, as in [`check`](Self::check).
    pub fn freshness(&self, user: UserId, seen: Version) -> Freshness {
        let known = seen.max(self.floor(user));
        if self.is_trusted() {
            Freshness::AtLeast(known)
        } else {
            Freshness::Primary
        }
    }

    /// Obeys what this instance has just committed, then waits for the others. To be called when
    /// the COMMIT was answered.
    pub async fn announce(&self, entries: &[Revocation]) -> Reach {
        let committed = self.clock.monotonic();
        for entry in entries {
            self.apply(entry);
        }
        let Some(last) = entries.iter().max_by_key(|entry| entry.id) else {
            return Reach::Everywhere;
        };
        tracing::trace!(id = last.id, "a revocation is committed");
        if let Some(announcements) = &self.announcements {
            announcements.announce(entries);
        }
        let reach = self.reach(last).await;
        if reach == Reach::Everywhere {
            let after = self.clock.monotonic().saturating_sub(committed);
            histogram!(EVERYWHERE_AFTER).record(after.as_secs_f64());
        }
        reach
    }

    /// Whether this session is known to be over: it was revoked by itself.
    pub fn holds(&self, session: SessionId) -> bool {
        self.hints.hits_session(session) || self.set.hits_session(session)
    }

    /// Waits for the others, for what this instance obeys; or for what it has
    /// [seen](crate::ports::store::RevocationWrites::revoked_before) to be over already. To be
    /// called when the COMMIT was answered.
    pub async fn reach(&self, committed: &Revocation) -> Reach {
        let answer = self.primary.acknowledged(committed, self.terms.ack_wait);
        let reach = answer.await.unwrap_or_else(|error| {
            tracing::warn!(%error, "a committed revocation was not acknowledged");
            Reach::Pending
        });
        counter!(REVOCATION_ANSWERS, "reach" => reach.as_str()).increment(1);
        reach
    }

    /// Obeys a revocation that is committed and whose entry has not come yet.
    pub fn obey(&self, revoked: Revoked, until: OffsetDateTime) {
        self.apply(&Revocation {
            id: 0,
            revoked,
            effect: None,
            until,
            stamp: Stamp::default(),
        });
    }

    /// Obeys at once, provisionally, what somebody says is committed (he had the answer to his
    /// COMMIT), and asks for the beat that tells. An entry that is none is dropped with that beat.
    ///
    /// On a new timeline what is held and the primary lacks is written back, hints included: so
    /// whoever brings them must know that they are ours (a MAC), not only where they came from.
    pub fn hint(&self, entries: &[Revocation]) {
        let at = self.clock.monotonic();
        let mut is_news = false;
        for entry in entries {
            if entry.id != 0 && !self.set.holds(entry.id) {
                self.hints.hear(entry, at);
                is_news = true;
            }
        }
        if is_news {
            tracing::trace!(entries = entries.len(), "revocations are hinted at");
            self.hasten();
        }
    }

    /// Stops trusting for good, then tells others that they need not wait for this instance.
    pub async fn leave(&self) -> Result<(), StoreError> {
        self.lease.stop();
        self.primary.leave().await
    }

    /// Every entry that still matters, as it was committed; provisional ones too.
    fn held(&self) -> Vec<Revocation> {
        let mut held = self.set.entries();
        held.extend(self.hints.entries());
        held
    }

    fn hasten(&self) {
        if let Some(hasten) = &self.hasten {
            hasten();
        }
    }

    /// Whether the lease runs.
    pub fn is_trusted(&self) -> bool {
        self.lease_left() > Duration::ZERO
    }

    /// How long the set is still believed.
    pub fn lease_left(&self) -> Duration {
        self.lease.left(self.clock.monotonic())
    }

    /// How many revocations still matter.
    pub fn entries(&self) -> usize {
        self.set.len()
    }

    /// On which timeline the last beat was answered; 0 before the first.
    pub fn timeline(&self) -> u32 {
        self.answers.last().map_or(0, |last| last.timeline)
    }

    /// How it is, for people and metrics.
    pub fn status(&self) -> Status {
        let now = self.clock.monotonic();
        let lease_left = self.lease.left(now);
        Status {
            trusted: lease_left > Duration::ZERO,
            problem: self.lease.why_not(),
            lease_left,
            entries: self.entries(),
            beat_age: self.lease.beat_age(now),
            timeline: self.timeline(),
        }
    }
}
