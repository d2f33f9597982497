//! The ring in use: replaced while others read it, and how old it is.

use std::{
    collections::HashSet,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use sso_core::{
    ports::{Clock, TokenRefused},
    values::KeyTag,
};

use crate::keyring::KeyRing;

/// A ring that can be replaced.
pub(super) struct HeldRing {
    current: RwLock<Current>,
    age: Option<Age>,
}

struct Current {
    ring: Arc<KeyRing>,
    /// Keys that were retired while somebody may still be reading an older ring from the store.
    retired: HashSet<KeyTag>,
}

struct Age {
    clock: Arc<dyn Clock>,
    max: Duration,
    /// Milliseconds on the monotonic clock.
    read_at: AtomicU64,
}

impl HeldRing {
    pub(super) fn new(ring: KeyRing) -> Self {
        let current = Current {
            ring: Arc::new(ring),
            retired: HashSet::new(),
        };
        Self {
            current: RwLock::new(current),
            age: None,
        }
    }

    /// From now on the ring grows old.
    pub(super) fn watch(&mut self, clock: Arc<dyn Clock>, max: Duration) {
        let read_at = AtomicU64::new(milliseconds(clock.monotonic()));
        self.age = Some(Age {
            clock,
            max,
            read_at,
        });
    }

    pub(super) fn get(&self) -> Arc<KeyRing> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&current.ring)
    }

    /// Replaces the ring. What was retired meanwhile does not come back with it; once a ring comes
    /// without it, none will come with it again, since they are read one after the other.
    pub(super) fn replace(&self, mut ring: KeyRing) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        current.retired.retain(|tag| ring.has(*tag));
        ring.drop_retired(&current.retired);
        current.ring = Arc::new(ring);
    }

    pub(super) fn retire(&self, key: KeyTag) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        // Also one that it does not have: a ring that has it may be on its way.
        current.retired.insert(key);
        let mut ring = KeyRing::clone(&current.ring);
        ring.drop_retired(&current.retired);
        current.ring = Arc::new(ring);
    }

    pub(super) fn was_read(&self, at: Duration) {
        if let Some(age) = &self.age {
            age.read_at.fetch_max(milliseconds(at), Ordering::Relaxed);
        }
    }

    /// What a `kid` means that is not in `ring`. A key signs no earlier than the max-age after it
    /// was stored, so a ring that is younger than that, and whole, has every key that signs.
    pub(super) fn unknown_kid(&self, ring: &KeyRing) -> TokenRefused {
        let is_old = self.age.as_ref().is_some_and(|age| {
            let read_at = Duration::from_millis(age.read_at.load(Ordering::Relaxed));
            age.clock.monotonic().saturating_sub(read_at) > age.max
        });
        if is_old || !ring.is_complete() {
            TokenRefused::Unknowable
        } else {
            TokenRefused::Invalid
        }
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
