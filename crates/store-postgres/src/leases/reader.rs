//! This process as a reader: its registration, its beats.

use std::{collections::VecDeque, pin::pin, time::Duration};

use futures_util::TryStreamExt as _;
use sso_core::ports::{
    RandomIds,
    store::{Answer, Question, Snapshot},
};
use time::OffsetDateTime;
use tokio_postgres::{RowStream, Statement, types::ToSql};
use uuid::Uuid;

use super::{Shared, codec, error::LeaseError, metrics, statements, write_back};
use crate::servers::Dedicated;

/// Rows of this process that it still has to delete, at most; others fence those beyond.
const LEFT: usize = 16;

/// What this process has said and heard.
#[derive(Default)]
pub(super) struct Reader {
    /// Taken out while it is in use: a beat that is given up closes its connection.
    wire: Option<Wire>,
    /// The number of the last beat that was sent. A number is used once.
    sent: i64,
    /// The number of the last that was answered.
    answered: i64,
    registered: Option<Registered>,
    /// Rows of earlier registrations, as far as is known: also of those that were given up, which
    /// may still come.
    left: VecDeque<Uuid>,
    /// Of the last answer, which is obeyed when the next question is asked.
    snapshot: Option<String>,
}

/// Where there is a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Registered {
    id: Uuid,
    timeline: u32,
    system: i64,
}

struct Wire {
    client: Dedicated,
    beat: Statement,
}

/// What a beat brought.
struct Heard {
    answer: Answer,
    snapshot: String,
    /// Whether the row was changed, and so the question was of the server's timeline.
    mine: bool,
}

impl Reader {
    /// One beat; before it, where there is none, the registration.
    pub(super) async fn beat(
        &mut self,
        shared: &Shared,
        question: Question<'_>,
    ) -> Result<Answer, LeaseError> {
        if question.anew || self.is_deposed(shared) {
            self.registered = None;
        }
        let mut wire = match self.wire.take() {
            Some(wire) if self.registered.is_some() => wire,
            // Whoever was asked last may not be the primary any more.
            _ => Wire::open(shared).await?,
        };
        let timeline = wire.client.identity().role.timeline();
        let answer = tokio::select! {
            answer = self.answer(shared, &mut wire, question) => answer?,
            // It waits for a standby that follows another by now.
            () = shared.servers.beyond(timeline) => return Err(LeaseError::Deposed),
        };
        self.wire = Some(wire);
        Ok(answer)
    }

    async fn answer(
        &mut self,
        shared: &Shared,
        wire: &mut Wire,
        question: Question<'_>,
    ) -> Result<Answer, LeaseError> {
        let registered = match self.registered {
            Some(registered) => registered,
            None => self.register(shared, wire, question).await?,
        };
        self.ask(shared, wire, registered, question.now).await
    }

    /// Whether somebody has met a timeline after the one that this reader is registered on.
    fn is_deposed(&self, shared: &Shared) -> bool {
        let newest = shared.servers.timeline();
        self.registered
            .is_some_and(|registered| registered.timeline < newest)
    }

    async fn register(
        &mut self,
        shared: &Shared,
        wire: &mut Wire,
        question: Question<'_>,
    ) -> Result<Registered, LeaseError> {
        self.sent += 1;
        let beat = self.sent;
        let id = shared.random.uuid_v4();
        let before = self.take_over(id);
        let warnings = wire.client.warnings();
        let tx = wire.client.transaction().await?;
        let name = &shared.terms.name;
        let row = tx
            .query_one(statements::REGISTER, &[&id, &beat, name, &before])
            .await?;
        let registered = Registered {
            id,
            timeline: codec::timeline(&row)?,
            system: codec::get(&row, "system")?,
        };
        write_back::write_back(&tx, registered.timeline, (question.held)()).await?;
        tx.commit().await?;
        if wire.client.warnings() != warnings {
            return Err(LeaseError::Warned);
        }
        shared.timelines.met(
            registered.system,
            registered.timeline,
            shared.clock.monotonic(),
        );
        shared.registered_as(id);
        metrics::registered();
        tracing::info!(timeline = registered.timeline, "registered as a reader");
        self.answered = beat;
        self.snapshot = None;
        self.registered = Some(registered);
        Ok(registered)
    }

    /// The rows before the one that is going to be made.
    fn take_over(&mut self, next: Uuid) -> Vec<Uuid> {
        let before = self.left.iter().copied().collect();
        if self.left.len() == LEFT {
            self.left.pop_front();
        }
        self.left.push_back(next);
        before
    }

    async fn ask(
        &mut self,
        shared: &Shared,
        wire: &mut Wire,
        registered: Registered,
        now: OffsetDateTime,
    ) -> Result<Answer, LeaseError> {
        self.sent += 1;
        shared.servers.beat_sent(registered.id, self.sent);
        let warnings = wire.client.warnings();
        let snapshot = self.snapshot.as_deref().unwrap_or(statements::NOTHING);
        let timeline = i64::from(registered.timeline);
        let beat: [&(dyn ToSql + Sync); 7] = [
            &registered.id,
            &self.sent,
            &self.answered,
            &timeline,
            &registered.system,
            &snapshot,
            &now,
        ];
        let rows = wire.client.query_raw(&wire.beat, beat).await?;
        let heard = Heard::read(rows).await?;
        if wire.client.warnings() != warnings {
            return Err(LeaseError::Warned);
        }
        if !heard.mine || heard.answer.timeline != registered.timeline {
            self.registered = None;
            return Err(LeaseError::NotRegistered {
                timeline: heard.answer.timeline,
            });
        }
        self.answered = self.sent;
        self.snapshot = Some(heard.snapshot);
        Ok(heard.answer)
    }

    /// Nobody need wait for this process any more.
    pub(super) async fn leave(&mut self, shared: &Shared) -> Result<(), LeaseError> {
        self.registered = None;
        if self.left.is_empty() {
            return Ok(());
        }
        let wire = match self.wire.take() {
            Some(wire) => wire,
            None => Wire::open(shared).await?,
        };
        let left: Vec<Uuid> = self.left.iter().copied().collect();
        wire.client.execute(statements::LEAVE, &[&left]).await?;
        self.left.clear();
        Ok(())
    }
}

impl Wire {
    async fn open(shared: &Shared) -> Result<Self, LeaseError> {
        let client = shared.servers.dedicated().await?;
        // Behind a synchronous standby a deposed primary can then renew nobody's lease. And a beat
        // that waits for one that was given up must not wait for longer than that.
        client
            .batch_execute(&format!(
                "SET synchronous_commit = on; SET lock_timeout = {}",
                milliseconds(shared.terms.deadline())
            ))
            .await?;
        let beat = client.prepare(statements::BEAT).await?;
        Ok(Self { client, beat })
    }
}

impl Heard {
    /// Row by row: the first answer has all that there is. It ends when the server is ready for the
    /// next query: it has committed. The row without an id is the server's word about itself.
    async fn read(rows: RowStream) -> Result<Self, LeaseError> {
        let mut rows = pin!(rows);
        let mut entries = Vec::new();
        let mut word = None;
        while let Some(row) = rows.try_next().await? {
            if codec::get::<Option<i64>>(&row, "id")?.is_some() {
                entries.push(codec::revocation(&row)?);
            } else {
                word = Some(row);
            }
        }
        let word = &word.ok_or(LeaseError::Unreadable("answer"))?;
        let snapshot: String = codec::get(word, "effect")?;
        let visible: Snapshot = snapshot
            .parse()
            .map_err(|_| LeaseError::Unreadable("snapshot"))?;
        Ok(Self {
            mine: codec::get::<Option<Uuid>>(word, "subject")?.is_some(),
            answer: Answer {
                at: codec::get(word, "until")?,
                entries,
                timeline: codec::timeline(word)?,
                snapshot: visible,
            },
            snapshot,
        })
    }
}

fn milliseconds(time: Duration) -> u128 {
    time.as_millis().max(1)
}
