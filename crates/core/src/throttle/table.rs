//! A table of bounded size whose flooding does not help.

use std::{
    collections::HashMap,
    hash::{BuildHasher, Hash},
    time::Duration,
};

/// How many are looked at to find the one that goes.
const SAMPLE: usize = 8;
/// How many are looked at with each new key for one that says nothing any more.
const SWEEP: usize = 2;

/// What is remembered under a key.
pub(super) trait Memory: Default {
    /// Whether it says nothing any more at `now`.
    fn is_over(&self, now: Duration) -> bool;

    /// How much is lost with it: the least is forgotten first.
    fn weight(&self) -> u64;
}

/// Remembers at most `capacity` keys. When it is full, a new key takes the place of one that is
/// over, or else of the lightest of a random few. So whoever wants a heavy one (a long row of
/// failures) forgotten must first fill the whole table with others as heavy.
#[derive(Debug)]
pub(super) struct Table<K, V> {
    capacity: usize,
    slots: Vec<(K, V)>,
    index: HashMap<K, usize>,
    /// Hashed to look at random slots.
    looks: u64,
}

impl<K: Copy + Eq + Hash, V: Memory> Table<K, V> {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            capacity: capacity.max(1),
            slots: Vec::new(),
            index: HashMap::new(),
            looks: 0,
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// What is remembered under `key` and still says something.
    pub(super) fn get(&self, key: K, now: Duration) -> Option<&V> {
        let at = *self.index.get(&key)?;
        let (_, memory) = self.slots.get(at)?;
        (!memory.is_over(now)).then_some(memory)
    }

    /// The same to be changed; made if it is not there, made anew if it is over.
    pub(super) fn entry(&mut self, key: K, now: Duration) -> &mut V {
        let at = match self.index.get(&key) {
            Some(at) => *at,
            None => self.insert(key, now),
        };
        let memory = &mut self.slots[at].1;
        if memory.is_over(now) {
            *memory = V::default();
        }
        memory
    }

    /// Forgets `key` if it is over.
    pub(super) fn tidy(&mut self, key: K, now: Duration) {
        if let Some(&at) = self.index.get(&key)
            && self.slots[at].1.is_over(now)
        {
            self.remove(at);
        }
    }

    fn insert(&mut self, key: K, now: Duration) -> usize {
        for _ in 0..SWEEP {
            if let Some(at) = self.look()
                && self.slots[at].1.is_over(now)
            {
                self.remove(at);
            }
        }
        if self.slots.len() >= self.capacity
            && let Some(victim) = self.victim(now)
        {
            self.remove(victim);
        }
        let at = self.slots.len();
        self.slots.push((key, V::default()));
        self.index.insert(key, at);
        at
    }

    fn victim(&mut self, now: Duration) -> Option<usize> {
        let looked: Vec<_> = (0..SAMPLE).filter_map(|_| self.look()).collect();
        looked.into_iter().min_by_key(|at| {
            let memory = &self.slots[*at].1;
            (!memory.is_over(now), memory.weight())
        })
    }

    /// A random slot.
    fn look(&mut self) -> Option<usize> {
        self.looks = self.looks.wrapping_add(1);
        let hash = self.index.hasher().hash_one(self.looks);
        let len = u64::try_from(self.slots.len()).ok()?;
        usize::try_from(hash.checked_rem(len)?).ok()
    }

    fn remove(&mut self, at: usize) {
        let (key, _) = self.slots.swap_remove(at);
        self.index.remove(&key);
        if let Some((moved, _)) = self.slots.get(at) {
            self.index.insert(*moved, at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default)]
    struct Row {
        weight: u64,
        until: Duration,
    }

    impl Memory for Row {
        fn is_over(&self, now: Duration) -> bool {
            self.until < now
        }

        fn weight(&self) -> u64 {
            self.weight
        }
    }

    const NOW: Duration = Duration::from_secs(100);

    fn put(table: &mut Table<u32, Row>, key: u32, weight: u64, until: Duration) {
        *table.entry(key, NOW) = Row { weight, until };
    }

    #[test]
    fn a_flood_of_light_keys_forgets_no_heavy_one_and_stays_within_the_bound() {
        let mut table = Table::new(1000);
        for key in 0..10 {
            put(&mut table, key, 20, NOW);
        }
        for key in 10..20_000 {
            put(&mut table, key, 1, NOW);
            assert!(table.len() <= 1000);
        }
        for key in 0..10 {
            assert_eq!(table.get(key, NOW).map(|row| row.weight), Some(20), "{key}");
        }
    }

    #[test]
    fn what_is_over_is_not_found_is_made_anew_and_makes_room() {
        let mut table = Table::new(1000);
        put(&mut table, 1, 9, NOW.saturating_sub(Duration::from_secs(1)));
        assert!(table.get(1, NOW).is_none());
        assert_eq!(table.entry(1, NOW).weight, 0);
        for key in 0..500 {
            put(
                &mut table,
                key,
                9,
                NOW.saturating_sub(Duration::from_secs(1)),
            );
        }
        for key in 1000..5000 {
            put(&mut table, key, 1, NOW);
        }
        assert!((0..500).all(|key| !table.index.contains_key(&key)));
        assert_eq!(table.len(), table.index.len());
    }

    #[test]
    fn what_was_moved_by_a_removal_is_still_found() {
        let mut table = Table::new(10);
        for key in 0..10 {
            put(&mut table, key, u64::from(key), NOW);
        }
        table.entry(3, NOW).until = Duration::ZERO;
        table.tidy(3, NOW);
        table.tidy(4, NOW);
        assert!(table.get(3, NOW).is_none());
        for key in (0..10).filter(|key| *key != 3) {
            assert_eq!(
                table.get(key, NOW).map(|row| row.weight),
                Some(u64::from(key))
            );
        }
    }
}
