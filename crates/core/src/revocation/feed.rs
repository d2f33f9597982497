//! Entries as they are applied, for whoever watches: the set first, then each that is new.
//!
//! A ring that all watchers read, each at his own place: it takes the same room for one and for a
//! thousand, and one who is a whole ring behind has lost something and is told so.

use std::{
    collections::{HashMap, VecDeque},
    future::poll_fn,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::{Poll, Waker},
};

use super::Revocations;
use crate::ports::store::Revocation;

/// Entries that are kept for watchers who have not read them yet.
pub const FEED_CAPACITY: usize = 4_096;

/// The ring.
#[derive(Debug, Default)]
pub(super) struct Feed(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    entries: VecDeque<Revocation>,
    /// The number of the entry that comes next.
    next: u64,
    watchers: u64,
    /// The name of the watcher who came last.
    last_watcher: u64,
    wakers: HashMap<u64, Waker>,
    /// What watchers that have just begun are reading.
    whole: Weak<Whole>,
}

/// All that mattered at one moment. Read by all who begin soon after another: when an instance stops
/// its watchers come to the others together, and a copy for each would be too much for a large set.
#[derive(Debug)]
pub struct Whole {
    entries: Vec<Revocation>,
    /// The number of the first entry of the feed that may not be in it.
    next: u64,
}

impl Whole {
    /// The entries, in no order.
    pub fn entries(&self) -> &[Revocation] {
        &self.entries
    }
}

impl Feed {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the watchers of an entry, which is in the set already.
    pub(super) fn publish(&self, entry: &Revocation) {
        let woken = {
            let mut state = self.state();
            // Where nobody watches nothing need be kept.
            if state.watchers > 0 {
                if state.entries.len() == FEED_CAPACITY {
                    state.entries.pop_front();
                }
                state.entries.push_back(*entry);
            }
            state.next += 1;
            std::mem::take(&mut state.wakers)
        };
        for waker in woken.into_values() {
            waker.wake();
        }
    }
}

/// What is new for one watcher.
#[derive(Debug)]
pub struct Subscription {
    feed: Arc<Feed>,
    id: u64,
    /// The number of the entry that is read next.
    next: u64,
}

/// The watcher is so far behind that entries are gone: he must begin anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("more was revoked than is kept for a slow watcher")]
pub struct Lagged;

impl Subscription {
    fn of(feed: &Arc<Feed>) -> Self {
        let mut state = feed.state();
        let next = state.next;
        Self::from(feed, &mut state, next)
    }

    fn from(feed: &Arc<Feed>, state: &mut State, next: u64) -> Self {
        state.watchers += 1;
        state.last_watcher += 1;
        Self {
            feed: Arc::clone(feed),
            id: state.last_watcher,
            next,
        }
    }

    /// Reads on after what somebody else is still reading, if not too much has come since. He watches
    /// too, so nothing of it was dropped.
    fn beside(feed: &Arc<Feed>) -> Option<(Arc<Whole>, Self)> {
        let mut state = feed.state();
        let whole = state.whole.upgrade()?;
        let since = usize::try_from(state.next - whole.next).ok()?;
        (since <= FEED_CAPACITY / 2).then(|| {
            let subscription = Self::from(feed, &mut state, whole.next);
            (whole, subscription)
        })
    }

    /// The entries since the last call, oldest first.
    pub fn take(&mut self) -> Result<Vec<Revocation>, Lagged> {
        let state = self.feed.state();
        let unread = state.next - self.next;
        let unread = usize::try_from(unread).map_err(|_| Lagged)?;
        let skip = state.entries.len().checked_sub(unread).ok_or(Lagged)?;
        self.next = state.next;
        Ok(state.entries.iter().skip(skip).copied().collect())
    }

    /// Waits until there is something to [take](Self::take).
    pub async fn changed(&mut self) {
        poll_fn(|context| {
            let mut state = self.feed.state();
            if state.next > self.next {
                return Poll::Ready(());
            }
            state.wakers.insert(self.id, context.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut state = self.feed.state();
        state.wakers.remove(&self.id);
        state.watchers -= 1;
        if state.watchers == 0 {
            state.entries = VecDeque::new();
        }
    }
}

impl Revocations {
    /// All that still matters, and a view of what is new after it. An entry that is applied
    /// meanwhile may be in both, never in neither. What is only hinted at comes when a beat
    /// confirms it.
    pub fn subscribe(&self) -> (Arc<Whole>, Subscription) {
        if let Some(beside) = Subscription::beside(&self.feed) {
            return beside;
        }
        let news = Subscription::of(&self.feed);
        let whole = Arc::new(Whole {
            entries: self.set.snapshot(),
            next: news.next,
        });
        self.feed.state().whole = Arc::downgrade(&whole);
        (whole, news)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::Future,
        pin::pin,
        sync::atomic::{AtomicUsize, Ordering},
        task::{Context, Wake},
    };

    use time::macros::datetime;
    use uuid::Uuid;

    use super::*;
    use crate::{
        ports::store::{Revoked, Stamp},
        values::SessionId,
    };

    fn session(number: u128) -> Revocation {
        entry(Revoked::Session(SessionId::from_uuid(Uuid::from_u128(
            number,
        ))))
    }

    fn entry(revoked: Revoked) -> Revocation {
        Revocation {
            id: 1,
            revoked,
            effect: None,
            stamp: Stamp::default(),
            until: datetime!(2026-01-01 00:00 UTC),
        }
    }

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_watcher_takes_what_came_since_and_each_entry_once() {
        let feed = Arc::new(Feed::default());
        feed.publish(&session(0));
        let mut early = Subscription::of(&feed);
        feed.publish(&session(1));
        let mut late = Subscription::of(&feed);
        feed.publish(&session(2));
        assert_eq!(early.take(), Ok(vec![session(1), session(2)]));
        assert_eq!(late.take(), Ok(vec![session(2)]));
        assert_eq!(early.take(), Ok(Vec::new()));
    }

    #[test]
    fn a_watcher_is_woken_by_each_entry_that_he_waits_for() {
        let feed = Arc::new(Feed::default());
        let mut watcher = Subscription::of(&feed);
        let woken = Arc::new(Woken::default());
        let waker = Arc::clone(&woken).into();
        let mut context = Context::from_waker(&waker);
        for round in 1..=3 {
            {
                let mut changed = pin!(watcher.changed());
                assert!(changed.as_mut().poll(&mut context).is_pending());
                feed.publish(&session(round));
                assert_eq!(woken.0.load(Ordering::Relaxed) as u128, round);
                assert!(changed.as_mut().poll(&mut context).is_ready());
            }
            assert_eq!(watcher.take(), Ok(vec![session(round)]));
        }
    }

    #[test]
    fn who_is_more_than_the_ring_behind_is_told_so_and_who_is_not_lost_nothing() {
        let feed = Arc::new(Feed::default());
        let mut watcher = Subscription::of(&feed);
        for number in 0..FEED_CAPACITY as u128 {
            feed.publish(&session(number));
        }
        assert_eq!(watcher.take().map(|all| all.len()), Ok(FEED_CAPACITY));
        for number in 0..=FEED_CAPACITY as u128 {
            feed.publish(&session(number));
        }
        assert_eq!(watcher.take(), Err(Lagged));
    }

    #[test]
    fn who_begins_beside_another_reads_the_same_and_misses_nothing() {
        let feed = Arc::new(Feed::default());
        let first = Subscription::of(&feed);
        let whole = Arc::new(Whole {
            entries: vec![session(0)],
            next: first.next,
        });
        feed.state().whole = Arc::downgrade(&whole);
        feed.publish(&session(1));
        let (read, mut second) = Subscription::beside(&feed).unwrap();
        feed.publish(&session(2));
        assert!(Arc::ptr_eq(&read, &whole));
        assert_eq!(second.take(), Ok(vec![session(1), session(2)]));
        for number in 0..FEED_CAPACITY as u128 / 2 {
            feed.publish(&session(number));
        }
        assert!(Subscription::beside(&feed).is_none(), "too much came since");
        drop((read, whole));
        assert!(Subscription::beside(&feed).is_none(), "nobody reads it");
        drop(first);
    }

    #[test]
    fn nothing_is_kept_where_nobody_watches() {
        let feed = Arc::new(Feed::default());
        feed.publish(&session(0));
        let watcher = Subscription::of(&feed);
        feed.publish(&session(1));
        assert_eq!(feed.state().entries.len(), 1);
        drop(watcher);
        assert!(feed.state().entries.is_empty());
        let mut next = Subscription::of(&feed);
        feed.publish(&session(2));
        assert_eq!(next.take(), Ok(vec![session(2)]));
    }
}
