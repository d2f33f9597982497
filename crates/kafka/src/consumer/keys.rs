//! Keys whose poison is parked: what follows of them follows it.

use std::{
    collections::{HashSet, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Most keys that are remembered; one more forgets the oldest.
const REMEMBERED: usize = 10_000;

/// The keys of this process's life. After a restart they are not known any more.
#[derive(Debug, Default)]
pub(super) struct ParkedKeys(Mutex<Keys>);

#[derive(Debug, Default)]
struct Keys {
    known: HashSet<Vec<u8>>,
    order: VecDeque<Vec<u8>>,
}

impl ParkedKeys {
    pub(super) fn contains(&self, key: &[u8]) -> bool {
        self.keys().known.contains(key)
    }

    pub(super) fn park(&self, key: &[u8]) {
        let mut keys = self.keys();
        if key.is_empty() || !keys.known.insert(key.to_vec()) {
            return;
        }
        keys.order.push_back(key.to_vec());
        if keys.order.len() > REMEMBERED
            && let Some(oldest) = keys.order.pop_front()
        {
            keys.known.remove(&oldest);
        }
    }

    pub(super) fn release(&self, key: &[u8]) {
        let mut keys = self.keys();
        if keys.known.remove(key) {
            keys.order.retain(|known| known != key);
        }
    }

    fn keys(&self) -> MutexGuard<'_, Keys> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
