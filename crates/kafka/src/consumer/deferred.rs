//! Events that wait because of themselves alone: so few that nobody has to wait for them.

use std::{
    collections::{BTreeMap, HashMap},
    future,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Taken;

/// Those of a consumer.
pub(super) struct Deferred {
    /// Most at once.
    most: usize,
    numbers: AtomicU64,
    waiting: Mutex<BTreeMap<u64, CancellationToken>>,
    /// Of each partition whose events are far ahead of it, the first that is not finished.
    first: watch::Sender<HashMap<i32, i64>>,
}

/// A place among those that wait, until it is dropped.
struct Place<'a> {
    deferred: &'a Deferred,
    number: u64,
    /// Somebody else has it.
    lost: CancellationToken,
}

impl Deferred {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            numbers: AtomicU64::new(0),
            waiting: Mutex::default(),
            first: watch::Sender::default(),
        }
    }

    /// The number of an event that is deferred for the first time: the lower, the longer ago.
    pub(super) fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// Says who is first where others are far ahead.
    pub(super) fn let_know(&self, first: HashMap<i32, i64>) {
        self.first.send_if_modified(|known| {
            let other = *known != first;
            *known = first;
            other
        });
    }

    /// Returns when this event is in others' way: it has waited longest of more than may, or it is the first of
    /// its partition and the others are far ahead.
    pub(super) async fn in_the_way(&self, number: u64, taken: &Taken) {
        let place = self.enter(number);
        let mut first = self.first.subscribe();
        let this = |first: &HashMap<i32, i64>| first.get(&taken.partition) == Some(&taken.offset);
        let is_first = async {
            if first.wait_for(this).await.is_err() {
                future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = place.lost.cancelled() => {}
            () = is_first => {}
        }
    }

    fn enter(&self, number: u64) -> Place<'_> {
        let lost = CancellationToken::new();
        let mut waiting = self.waiting();
        waiting.insert(number, lost.clone());
        if waiting.len() > self.most
            && let Some((_, longest)) = waiting.pop_first()
        {
            longest.cancel();
        }
        drop(waiting);
        Place {
            deferred: self,
            number,
            lost,
        }
    }

    fn waiting(&self) -> MutexGuard<'_, BTreeMap<u64, CancellationToken>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.deferred.waiting().remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn taken(offset: i64) -> Taken {
        Taken {
            partition: 0,
            offset,
            key: Vec::new(),
            value: Vec::new(),
            headers: Vec::new(),
        }
    }

    #[tokio::test]
    async fn who_has_waited_longest_makes_room() {
        let deferred = Deferred::new(2);
        let records = [0, 1, 2].map(taken);
        let numbers = [0; 3].map(|_| deferred.number());
        let mut first = Box::pin(deferred.in_the_way(numbers[0], &records[0]));
        let mut second = Box::pin(deferred.in_the_way(numbers[1], &records[1]));
        assert!((&mut first).now_or_never().is_none());
        assert!((&mut second).now_or_never().is_none());
        let mut third = Box::pin(deferred.in_the_way(numbers[2], &records[2]));
        assert!((&mut third).now_or_never().is_none());
        assert!(first.now_or_never().is_some());
        assert!((&mut second).now_or_never().is_none());
        // One that has been tried again meanwhile is as old as it was.
        drop(second);
        let again = deferred.number();
        let mut fourth = Box::pin(deferred.in_the_way(again, &records[0]));
        assert!((&mut fourth).now_or_never().is_none());
        let second = deferred.in_the_way(numbers[1], &records[1]);
        assert!(second.now_or_never().is_some());
        assert!(fourth.now_or_never().is_none() && third.now_or_never().is_none());
    }

    #[tokio::test]
    async fn who_is_first_where_others_are_far_ahead_is_in_their_way() {
        let deferred = Deferred::new(10);
        let (one, two) = (taken(1), taken(2));
        let mut first = Box::pin(deferred.in_the_way(deferred.number(), &one));
        let second = Box::pin(deferred.in_the_way(deferred.number(), &two));
        assert!((&mut first).now_or_never().is_none());
        deferred.let_know(HashMap::from([(0, 1), (1, 2)]));
        assert!(first.now_or_never().is_some());
        assert!(second.now_or_never().is_none());
    }
}
