//! Leases: how an instance certifies that it obeys every revocation, and how the others know.
//!
//! Each instance is a *reader* with a row in `readers`. Over a connection of its own it sends one
//! *beat* at a time: one statement that stores the *snapshot* of the last answer that it obeys and
//! returns what is not visible in it. An answered beat is a *lease* from the moment it was sent,
//! if everything is of one *timeline*. Whoever commits a revocation waits until the row of each
//! reader shows a snapshot of this timeline in which it is visible, or until no lease can run any
//! more that began before.

mod codec;
mod departures;
mod error;
mod metrics;
mod reader;
mod reading;
mod standbys;
mod statements;
mod timelines;
mod waiting;
mod watch;
mod write_back;

use std::{
    sync::{Arc, Mutex as StdMutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use sso_core::{
    ports::{
        Clock, Random, StoreError,
        store::{Answer, Question, Reach, Revocation, RevocationFeed},
    },
    revocation::bound,
};
use tokio::sync::Mutex;
use uuid::Uuid;

pub use metrics::register as register_metrics;
#[cfg(test)]
pub(crate) use statements::ALL as STATEMENTS;

use crate::servers::Servers;
use departures::Departures;
use reader::Reader;
use timelines::Timelines;
use watch::Watch;

/// How long leases are, and who has one here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// `L`: how long an answered beat is believed.
    pub lease: Duration,
    /// How long a deposed primary may outlive the promotion of another, at most; and how long a
    /// standby may still follow it.
    pub fence: Duration,
    /// How many standbys may be promoted and must follow, where commits do not wait for all of
    /// them. `None`: those that hold a replication slot.
    pub standbys: Option<u32>,
    /// What people see in `readers`: host and process.
    pub name: String,
}

impl Terms {
    /// 1.2 `L`: no lease runs any more that began before, by anybody's clock.
    fn bound(&self) -> Duration {
        bound(self.lease)
    }

    /// When the connection of a beat is closed: early enough to get another answer before the
    /// lease is over.
    fn deadline(&self) -> Duration {
        self.lease / 2
    }
}

/// The leases of one process. Cheap to clone.
#[derive(Clone)]
pub struct Leases {
    shared: Arc<Shared>,
}

struct Shared {
    servers: Servers,
    clock: Arc<dyn Clock>,
    terms: Terms,
    random: Arc<dyn Random>,
    /// The registration that was answered last: this process in `readers`.
    me: StdMutex<Option<Uuid>>,
    timelines: Timelines,
    departures: Departures,
    /// One beat at a time.
    reader: Mutex<Reader>,
    watch: Watch,
}

impl Leases {
    /// For this process. It is registered by the first beat; one that sends none still may
    /// [wait](RevocationFeed::acknowledged) for the others. Each registration takes an id of
    /// `random`, so that one that was given up and comes late is nobody's.
    pub fn new(
        servers: Servers,
        clock: Arc<dyn Clock>,
        terms: Terms,
        random: Arc<dyn Random>,
    ) -> Self {
        let quiet = terms.bound() + terms.fence;
        Self {
            shared: Arc::new(Shared {
                servers,
                clock,
                terms,
                random,
                me: StdMutex::default(),
                timelines: Timelines::new(quiet),
                departures: Departures::new(quiet),
                reader: Mutex::default(),
                watch: Watch::default(),
            }),
        }
    }
}

impl Shared {
    fn me(&self) -> Option<Uuid> {
        *self.me.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn registered_as(&self, id: Uuid) {
        *self.me.lock().unwrap_or_else(PoisonError::into_inner) = Some(id);
    }
}

#[async_trait]
impl RevocationFeed for Leases {
    async fn beat(&self, question: Question<'_>) -> Result<Answer, StoreError> {
        let shared = &self.shared;
        let mut reader = shared.reader.lock().await;
        let beat = reader.beat(shared, question);
        let answer = tokio::time::timeout(shared.terms.deadline(), beat)
            .await
            .unwrap_or(Err(error::LeaseError::Deadline(shared.terms.deadline())))?;
        drop(reader);
        self.observe();
        Ok(answer)
    }

    async fn acknowledged(
        &self,
        revocation: &Revocation,
        wait: Duration,
    ) -> Result<Reach, StoreError> {
        Ok(self.wait_for(revocation.stamp, wait).await)
    }

    async fn leave(&self) -> Result<(), StoreError> {
        let shared = &self.shared;
        let mut reader = shared.reader.lock().await;
        let leave = reader.leave(shared);
        tokio::time::timeout(shared.terms.deadline(), leave)
            .await
            .unwrap_or(Err(error::LeaseError::Deadline(shared.terms.deadline())))?;
        Ok(())
    }
}
