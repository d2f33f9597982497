//! How many streams of `grpc.health.v1` there may be: anybody may open them, and each stays for as
//! long as its client likes.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use sso_core::{Failure, Kind};
use sso_web::ConnectionId;

/// Bounds of `grpc.health.v1.Health/Watch`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WatchLimits {
    /// Streams of one connection.
    pub per_connection: usize,
    /// Streams of all connections.
    pub overall: usize,
}

/// 16 of a connection, which is more services than there are; 1024 in all.
impl Default for WatchLimits {
    fn default() -> Self {
        Self {
            per_connection: 16,
            overall: 1024,
        }
    }
}

/// Who watches. Clones are the same.
#[derive(Debug, Clone)]
pub(crate) struct Watchers(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    limits: WatchLimits,
    /// Streams by connection; those that have one. Never more than `limits.overall` together.
    streams: Mutex<HashMap<Option<ConnectionId>, usize>>,
}

impl Watchers {
    pub(crate) fn new(limits: WatchLimits) -> Self {
        Self(Arc::new(Inner {
            limits,
            streams: Mutex::default(),
        }))
    }

    /// One more stream of this connection, until the answer is dropped.
    pub(crate) fn admit(&self, connection: Option<ConnectionId>) -> Result<Watcher, Failure> {
        let limits = self.0.limits;
        let mut streams = self.0.streams();
        let own = streams.get(&connection).copied().unwrap_or(0);
        let all: usize = streams.values().sum();
        if own >= limits.per_connection || all >= limits.overall {
            return Err(Failure {
                retry_after: Some(Duration::from_secs(1)),
                ..Failure::new(Kind::RateLimited, "rate_limited", "too many watches")
            });
        }
        streams.insert(connection, own + 1);
        Ok(Watcher {
            watchers: Arc::clone(&self.0),
            connection,
        })
    }
}

impl Inner {
    fn streams(&self) -> std::sync::MutexGuard<'_, HashMap<Option<ConnectionId>, usize>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An open stream.
#[derive(Debug)]
pub(crate) struct Watcher {
    watchers: Arc<Inner>,
    connection: Option<ConnectionId>,
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let mut streams = self.watchers.streams();
        let left = streams.get(&self.connection).copied().unwrap_or(0);
        if left > 1 {
            streams.insert(self.connection, left - 1);
        } else {
            streams.remove(&self.connection);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_connection_has_its_bound_all_have_one_and_who_leaves_makes_room() {
        let watchers = Watchers::new(WatchLimits {
            per_connection: 2,
            overall: 3,
        });
        let of = |id| watchers.admit(Some(ConnectionId(id)));
        let (first, _second) = (of(1).unwrap(), of(1).unwrap());
        assert_eq!(of(1).unwrap_err().kind, Kind::RateLimited);
        let third = of(2).unwrap();
        assert!(of(2).is_err() && of(3).is_err());
        drop(first);
        let _fourth = of(3).unwrap();
        assert!(of(1).is_err());
        drop(third);
        assert!(of(1).is_ok());
        assert_eq!(watchers.0.streams().len(), 2);
    }
}
