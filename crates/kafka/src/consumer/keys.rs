//! Keys with an event in the dead-letter topic: what follows of them follows it.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex as Shared, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use tokio::{sync::Mutex, time::Instant};

/// How old what is known of other instances and of commands may be.
const FRESH: Duration = Duration::from_secs(5);

/// Where a parked record was in its topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// The partition.
    pub partition: i32,
    /// The offset in it.
    pub offset: i64,
}

/// Remembers which records are parked, for all instances of a group and beyond a restart. An error is
/// a sentence for the log; what was asked for is tried again.
#[async_trait]
pub trait ParkedKeys: Send + Sync + 'static {
    /// All of them, with their keys.
    async fn all(&self) -> Result<Vec<(Place, Vec<u8>)>, String>;

    /// This record is parked. It may be told again.
    async fn park(&self, place: Place, key: &[u8]) -> Result<(), String>;

    /// It was sent again, and has been handled or parked anew. It may be told again.
    async fn release(&self, place: Place) -> Result<(), String>;
}

/// For as long as this process lives. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct InMemory(Arc<Shared<HashMap<Place, Vec<u8>>>>);

#[async_trait]
impl ParkedKeys for InMemory {
    async fn all(&self) -> Result<Vec<(Place, Vec<u8>)>, String> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(known.iter().map(|(p, key)| (*p, key.clone())).collect())
    }

    async fn park(&self, place: Place, key: &[u8]) -> Result<(), String> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(place, key.to_vec());
        Ok(())
    }

    async fn release(&self, place: Place) -> Result<(), String> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.remove(&place);
        Ok(())
    }
}

/// What of it is known here.
#[derive(Debug, Default)]
struct Known {
    keys: HashMap<Vec<u8>, HashSet<Place>>,
    read: Option<(u64, Instant)>,
}

/// What stands in an event's way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nothing.
    Free,
    /// An earlier event of its key is parked.
    Behind,
    /// It is parked itself: a crash has kept its offset from being committed.
    Parked,
}

/// The memory, with what was read of it a moment ago.
pub(super) struct Keys {
    memory: Box<dyn ParkedKeys>,
    /// Held while the memory is read or written, so that neither is lost on the other.
    known: Mutex<Known>,
}

impl Keys {
    pub(super) fn new(memory: Box<dyn ParkedKeys>) -> Self {
        Self {
            memory,
            known: Mutex::default(),
        }
    }

    /// How the record at this place stands. What others parked before the partition became ours, in this
    /// generation, is known.
    pub(super) async fn standing(
        &self,
        place: Place,
        key: &[u8],
        generation: u64,
    ) -> Result<Standing, String> {
        let mut known = self.known.lock().await;
        let good = |(of, at): (u64, Instant)| of >= generation && at.elapsed() < FRESH;
        if !known.read.is_some_and(good) {
            let at = Instant::now();
            let mut keys: HashMap<Vec<u8>, HashSet<Place>> = HashMap::new();
            for (place, key) in self.memory.all().await? {
                keys.entry(key).or_default().insert(place);
            }
            let read = known.read.map_or(generation, |(of, _)| of.max(generation));
            *known = Known {
                keys,
                read: Some((read, at)),
            };
        }
        Ok(match known.keys.get(key) {
            None => Standing::Free,
            Some(places) if places.contains(&place) => Standing::Parked,
            Some(_) => Standing::Behind,
        })
    }

    /// A key that is empty orders nothing.
    pub(super) async fn park(&self, place: Place, key: &[u8]) -> Result<(), String> {
        if key.is_empty() {
            return Ok(());
        }
        let mut known = self.known.lock().await;
        self.memory.park(place, key).await?;
        known.keys.entry(key.to_vec()).or_default().insert(place);
        Ok(())
    }

    pub(super) async fn release(&self, place: Place, key: &[u8]) -> Result<(), String> {
        let mut known = self.known.lock().await;
        self.memory.release(place).await?;
        if let Some(places) = known.keys.get_mut(key) {
            places.remove(&place);
            if places.is_empty() {
                known.keys.remove(key);
            }
        }
        Ok(())
    }
}
