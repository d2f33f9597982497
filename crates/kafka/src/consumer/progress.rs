//! What was taken, what is finished, and up to where offsets may be committed.

use std::collections::{BTreeMap, HashMap, VecDeque, btree_map::Entry};

use super::{Taken, membership::Claim, work::Finished};

/// The partitions that are ours.
#[derive(Debug, Default)]
pub(super) struct Assigned {
    partitions: HashMap<i32, Partition>,
}

#[derive(Debug)]
struct Partition {
    generation: u64,
    /// Offsets that were taken; whether they are finished. The first is never finished.
    taken: BTreeMap<i64, bool>,
    /// By key: what waits behind the one that is under way.
    waiting: HashMap<Vec<u8>, VecDeque<(Taken, Claim)>>,
    pending: usize,
}

/// What follows from an event that is finished.
#[derive(Debug, Default)]
pub(super) struct Next {
    /// Every event below this offset is finished.
    pub(super) commit: Option<i64>,
    /// The key's next event.
    pub(super) next: Option<(Taken, Claim)>,
}

impl Assigned {
    /// Takes a record; returns it, if none of its key is under way.
    pub(super) fn take(&mut self, taken: Taken, claim: Claim) -> Option<(Taken, Claim)> {
        let partition = self
            .partitions
            .entry(taken.partition)
            .or_insert_with(|| Partition::new(claim.generation));
        if partition.generation != claim.generation {
            // It went, and came again: from the offset that was committed.
            *partition = Partition::new(claim.generation);
        }
        // One that is known comes again if the client went back to an earlier offset: it is under way or done.
        let Entry::Vacant(place) = partition.taken.entry(taken.offset) else {
            return None;
        };
        place.insert(false);
        partition.pending += 1;
        if let Some(waiting) = partition.waiting.get_mut(&taken.key) {
            waiting.push_back((taken, claim));
            return None;
        }
        partition.waiting.insert(taken.key.clone(), VecDeque::new());
        Some((taken, claim))
    }

    /// Notes that an event has ended. One that was given up stays unfinished: it comes again.
    pub(super) fn finish(&mut self, finished: &Finished) -> Next {
        let taken = &finished.taken;
        let partition = self.partitions.get_mut(&taken.partition);
        let Some(partition) = partition.filter(|found| found.generation == finished.generation)
        else {
            return Next::default();
        };
        if !finished.done {
            return Next::default();
        }
        partition.pending = partition.pending.saturating_sub(1);
        let mut next = None;
        if let Some(waiting) = partition.waiting.get_mut(&taken.key) {
            next = waiting.pop_front();
            if next.is_none() {
                partition.waiting.remove(&taken.key);
            }
        }
        Next {
            commit: partition.done(taken.offset),
            next,
        }
    }

    /// Forgets what was taken in partitions that are not held: it comes again, to whoever has them.
    pub(super) fn keep(&mut self, holds: impl Fn(i32, u64) -> bool) {
        self.partitions
            .retain(|number, partition| holds(*number, partition.generation));
    }

    /// Of each partition in which more than so many wait, the first that is not finished.
    pub(super) fn first(&self, many: usize) -> HashMap<i32, i64> {
        let first = |(number, partition): (&i32, &Partition)| {
            let (offset, _) = partition.taken.first_key_value()?;
            (partition.taken.len() > many).then_some((*number, *offset))
        };
        self.partitions.iter().filter_map(first).collect()
    }

    /// How many were taken and are not finished.
    pub(super) fn pending(&self) -> usize {
        self.partitions.values().map(|found| found.pending).sum()
    }

    /// How many wait in the partition where most do, finished or not.
    pub(super) fn ahead(&self) -> usize {
        let all = self.partitions.values().map(|found| found.taken.len());
        all.max().unwrap_or(0)
    }
}

impl Partition {
    fn new(generation: u64) -> Self {
        Self {
            generation,
            taken: BTreeMap::new(),
            waiting: HashMap::new(),
            pending: 0,
        }
    }

    /// The offset below which all is finished, if that has moved.
    fn done(&mut self, offset: i64) -> Option<i64> {
        self.taken.insert(offset, true);
        let mut commit = None;
        while let Some(first) = self.taken.first_entry() {
            if !first.get() {
                break;
            }
            commit = Some(first.remove_entry().0 + 1);
        }
        commit
    }
}

#[cfg(test)]
mod tests {
    use tokio_util::sync::CancellationToken;

    use super::*;

    fn taken(offset: i64, key: &str) -> Taken {
        Taken {
            partition: 0,
            offset,
            key: key.into(),
            value: Vec::new(),
            headers: Vec::new(),
        }
    }

    fn claim(generation: u64) -> Claim {
        Claim {
            generation,
            over: CancellationToken::new(),
        }
    }

    fn done(offset: i64, key: &str, generation: u64) -> Finished {
        Finished {
            taken: taken(offset, key),
            generation,
            done: true,
        }
    }

    #[test]
    fn an_offset_is_committed_when_all_before_it_are_finished() {
        let mut assigned = Assigned::default();
        // Offsets have gaps: a transaction's marker, compaction.
        for (offset, key) in [(3, "a"), (4, "b"), (6, "c")] {
            assert!(assigned.take(taken(offset, key), claim(1)).is_some());
        }
        assert_eq!(assigned.finish(&done(6, "c", 1)).commit, None);
        assert_eq!(assigned.finish(&done(3, "a", 1)).commit, Some(4));
        assert_eq!((assigned.pending(), assigned.ahead()), (1, 2));
        assert_eq!(assigned.finish(&done(4, "b", 1)).commit, Some(7));
        assert_eq!((assigned.pending(), assigned.ahead()), (0, 0));
    }

    #[test]
    fn one_that_comes_again_is_not_begun_again() {
        let mut assigned = Assigned::default();
        assert!(assigned.take(taken(1, "a"), claim(1)).is_some());
        assert!(assigned.take(taken(2, "b"), claim(1)).is_some());
        assert_eq!(assigned.finish(&done(2, "b", 1)).commit, None);
        assert!(assigned.take(taken(1, "a"), claim(1)).is_none());
        assert!(assigned.take(taken(2, "b"), claim(1)).is_none());
        assert_eq!(assigned.finish(&done(1, "a", 1)).commit, Some(3));
        assert_eq!((assigned.pending(), assigned.ahead()), (0, 0));
    }

    #[test]
    fn events_of_a_key_follow_one_another() {
        let mut assigned = Assigned::default();
        assert!(assigned.take(taken(1, "a"), claim(1)).is_some());
        assert!(assigned.take(taken(2, "a"), claim(1)).is_none());
        assert!(assigned.take(taken(3, "b"), claim(1)).is_some());
        assert!(assigned.take(taken(4, "a"), claim(1)).is_none());
        let second = assigned.finish(&done(1, "a", 1));
        assert_eq!(second.commit, Some(2));
        assert_eq!(second.next.unwrap().0.offset, 2);
        let third = assigned.finish(&done(2, "a", 1));
        assert_eq!(third.next.unwrap().0.offset, 4);
        assert!(assigned.finish(&done(4, "a", 1)).next.is_none());
        assert!(assigned.take(taken(5, "a"), claim(1)).is_some());
    }

    #[test]
    fn what_ends_after_its_partition_went_commits_nothing() {
        let mut assigned = Assigned::default();
        assigned.take(taken(1, "a"), claim(1));
        assert!(assigned.take(taken(1, "a"), claim(2)).is_some());
        assert_eq!(assigned.finish(&done(1, "a", 1)).commit, None);
        assert_eq!(assigned.finish(&done(1, "a", 2)).commit, Some(2));
        let given_up = Finished {
            done: false,
            ..done(2, "a", 2)
        };
        assigned.take(taken(2, "a"), claim(2));
        assert_eq!(assigned.finish(&given_up).commit, None);
        assert_eq!((assigned.pending(), assigned.ahead()), (1, 1));
        assigned.keep(|_, generation| generation == 2);
        assert_eq!((assigned.pending(), assigned.ahead()), (1, 1));
        assigned.keep(|_, generation| generation == 3);
        assert_eq!((assigned.pending(), assigned.ahead()), (0, 0));
    }
}
