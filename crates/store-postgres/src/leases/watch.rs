//! Looking at the readers: one look at a time, shared by all who wait; and the fencing of those
//! that are silent.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex as StdMutex, PoisonError},
    time::Duration,
};

use tokio::sync::Mutex;
use tokio_postgres::Statement;
use uuid::Uuid;

use super::{Leases, Shared, error::LeaseError, metrics, reading::Reading, statements};
use crate::servers::Dedicated;

/// The newest look, and who has been silent since when.
#[derive(Default)]
pub(super) struct Watch {
    looking: Mutex<Looking>,
    silent: StdMutex<HashMap<Uuid, Silent>>,
    /// When the newest look was asked for; for the look that nobody waits for.
    newest: StdMutex<Option<Duration>>,
}

#[derive(Default)]
struct Looking {
    /// Taken out while it is in use.
    wire: Option<Wire>,
    last: Option<Arc<Reading>>,
}

struct Wire {
    client: Dedicated,
    here: Statement,
    readers: Statement,
}

/// A row as it was seen first.
#[derive(Debug, Clone, Copy)]
struct Silent {
    beat: i64,
    /// On this observer's clock: nobody else's and no `now()` of a server counts.
    since: Duration,
}

impl Leases {
    /// A look that was asked for at `after` or later, shared with whoever wants one.
    pub(super) async fn look(&self, after: Duration) -> Result<Arc<Reading>, LeaseError> {
        let this = self.clone();
        // Of its own, so that one who cannot wait longer does not end it for the others.
        let look = tokio::spawn(async move { this.shared.look(after).await });
        look.await.map_err(|_| LeaseError::Unreadable("readers"))?
    }

    /// Keeps an eye on the readers when nobody waits for them: who is silent is fenced in time.
    pub(super) fn observe(&self) {
        let now = self.shared.clock.monotonic();
        let newest = self.shared.watch.newest();
        if newest.is_none_or(|newest| now >= newest + self.shared.terms.lease / 5) {
            self.shared.watch.set_newest(now);
            let this = self.clone();
            tokio::spawn(async move {
                if let Err(error) = this.shared.look(now).await {
                    tracing::debug!(%error, "the readers could not be looked at");
                }
            });
        }
    }
}

impl Shared {
    async fn look(&self, after: Duration) -> Result<Arc<Reading>, LeaseError> {
        let mut looking = self.watch.looking.lock().await;
        if let Some(last) = looking.last.as_ref().filter(|last| last.sent >= after) {
            return Ok(Arc::clone(last));
        }
        let deadline = self.terms.deadline();
        let wire = looking.wire.take();
        let (wire, reading) = tokio::time::timeout(deadline, self.look_anew(wire))
            .await
            .map_err(|_| LeaseError::Deadline(deadline))??;
        looking.wire = Some(wire);
        let reading = Arc::new(reading);
        looking.last = Some(Arc::clone(&reading));
        Ok(reading)
    }

    async fn look_anew(&self, wire: Option<Wire>) -> Result<(Wire, Reading), LeaseError> {
        let wire = match wire {
            Some(wire) => wire,
            None => Wire::open(self).await?,
        };
        let sent = self.clock.monotonic();
        self.watch.set_newest(sent);
        let here = wire.client.query_one(&wire.here, &[]);
        let readers = wire.client.query(&wire.readers, &[]);
        let (here, readers) = futures_util::try_join!(here, readers)?;
        let reading = Reading::read(sent, &here, &readers)?;
        let now = self.clock.monotonic();
        tracing::trace!(took = ?now.saturating_sub(sent), "the readers were looked at");
        self.timelines.met(reading.system, reading.timeline, now);
        self.departures.seen(&reading, self.terms.standbys, now);
        for (id, beat) in self
            .watch
            .silent(&reading, now, self.me(), self.terms.bound())
        {
            self.fence(&wire, &reading, id, beat).await?;
        }
        Ok((wire, reading))
    }

    /// From now on that reader finds no row: it gets no lease before it registers anew.
    async fn fence(
        &self,
        wire: &Wire,
        reading: &Reading,
        id: Uuid,
        beat: i64,
    ) -> Result<(), LeaseError> {
        let deleted = wire
            .client
            .execute(statements::FENCE, &[&id, &beat])
            .await?;
        if deleted > 0 {
            metrics::fenced();
            let name = reading.rows.iter().find(|row| row.id == id);
            let name = name.map(|row| row.name.as_str());
            tracing::warn!(reader = %id, name, beat, "an instance is silent: it is fenced");
        }
        Ok(())
    }
}

impl Watch {
    /// Who has not changed its row for `bound`, between two looks of this observer.
    fn silent(
        &self,
        reading: &Reading,
        heard: Duration,
        me: Option<Uuid>,
        bound: Duration,
    ) -> Vec<(Uuid, i64)> {
        let mut silent = self.silent.lock().unwrap_or_else(PoisonError::into_inner);
        silent.retain(|id, _| reading.rows.iter().any(|row| row.id == *id));
        let mut over = Vec::new();
        for row in reading.rows.iter().filter(|row| Some(row.id) != me) {
            let first = Silent {
                beat: row.beat,
                since: heard,
            };
            let seen = silent.entry(row.id).or_insert(first);
            if seen.beat != row.beat {
                *seen = first;
            } else if reading.sent >= seen.since + bound {
                over.push((row.id, row.beat));
            }
        }
        over
    }

    fn newest(&self) -> Option<Duration> {
        *self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_newest(&self, at: Duration) {
        *self.newest.lock().unwrap_or_else(PoisonError::into_inner) = Some(at);
    }
}

impl Wire {
    async fn open(shared: &Shared) -> Result<Self, LeaseError> {
        let client = shared.servers.dedicated().await?;
        client.batch_execute("SET synchronous_commit = on").await?;
        let here = client.prepare(statements::HERE).await?;
        let readers = client.prepare(statements::READERS).await?;
        Ok(Self {
            client,
            here,
            readers,
        })
    }
}
