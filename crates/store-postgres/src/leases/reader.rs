//! This process as a reader: its registration, its beats.

use std::{collections::VecDeque, pin::pin, time::Duration};

use futures_util::TryStreamExt as _;
use sso_core::{
    pieces::Pieces,
    ports::{
        RandomIds,
        store::{Answer, Question, Snapshot},
    },
};
use time::OffsetDateTime;
use tokio_postgres::{Row, RowStream, Statement, types::ToSql};
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
    quiet_beat: Statement,
    register: Statement,
    lacks: Statement,
    /// The last answer over it brought nothing.
    is_quiet: bool,
}

/// One beat to be sent.
struct Beat<'a> {
    number: i64,
    answered: i64,
    registered: Registered,
    timeline: i64,
    snapshot: &'a str,
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
        // The new connection may be the first to show a new timeline: the row of the old one is of no use
        // there.
        if self
            .registered
            .is_some_and(|registered| registered.timeline != timeline)
        {
            self.registered = None;
        }
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
        // Where nothing comes it is not asked what came. No answer means that something did, or that the
        // row or the server is another: then, and over a new connection, it is asked in full.
        if wire.is_quiet && !question.expects {
            let beat = self.next(shared, registered);
            let sent = beat.number;
            if let Some(heard) = wire.ask_quietly(&beat).await? {
                return Ok(self.hear(heard, sent));
            }
        }
        self.ask(shared, wire, registered, question.now).await
    }

    fn next(&mut self, shared: &Shared, registered: Registered) -> Beat<'_> {
        self.sent += 1;
        shared.servers.beat_sent(registered.id, self.sent);
        Beat {
            number: self.sent,
            answered: self.answered,
            registered,
            timeline: i64::from(registered.timeline),
            snapshot: self.snapshot.as_deref().unwrap_or(statements::NOTHING),
        }
    }

    fn hear(&mut self, heard: Heard, sent: i64) -> Answer {
        self.answered = sent;
        self.snapshot = Some(heard.snapshot);
        heard.answer
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
        let timeline = wire.client.identity().role.timeline();
        let tx = wire.client.transaction().await?;
        let name = &shared.terms.name;
        let parameters: [&(dyn ToSql + Sync); 4] = [&id, &beat, name, &before];
        // Sent together, in this order: after a failover validation waits for it.
        let (row, lost) = tokio::try_join!(
            biased;
            async { Ok(tx.query_one(&wire.register, &parameters).await?) },
            write_back::lacking(&tx, &wire.lacks, timeline, (question.held)()),
        )?;
        let registered = Registered {
            id,
            timeline: codec::timeline(&row)?,
            system: codec::get(&row, "system")?,
        };
        // What is lost was asked for by the connection's timeline, which a primary does not change.
        if registered.timeline != timeline {
            return Err(LeaseError::Deposed);
        }
        write_back::write_back(&tx, timeline, lost).await?;
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
        let beat = self.next(shared, registered);
        let sent = beat.number;
        let heard = wire.ask(&beat, now).await?;
        if !heard.mine || heard.answer.timeline != registered.timeline {
            self.registered = None;
            return Err(LeaseError::NotRegistered {
                timeline: heard.answer.timeline,
            });
        }
        Ok(self.hear(heard, sent))
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
        let settings = format!(
            "SET synchronous_commit = on; SET lock_timeout = {}",
            milliseconds(shared.terms.deadline())
        );
        let (beat, quiet_beat, register, lacks, ()) = tokio::try_join!(
            client.prepare(statements::BEAT),
            client.prepare(statements::QUIET_BEAT),
            client.prepare(statements::REGISTER),
            client.prepare(statements::LACKS),
            client.batch_execute(&settings),
        )?;
        Ok(Self {
            client,
            beat,
            quiet_beat,
            register,
            lacks,
            is_quiet: false,
        })
    }

    async fn ask(&mut self, beat: &Beat<'_>, now: OffsetDateTime) -> Result<Heard, LeaseError> {
        let warnings = self.client.warnings();
        let [id, number, answered, timeline, system, snapshot] = beat.parameters();
        let parameters = [id, number, answered, timeline, system, snapshot, &now];
        let rows = self.client.query_raw(&self.beat, parameters).await?;
        let heard = Heard::read(rows).await?;
        self.is_quiet = heard.answer.entries.is_empty();
        self.warned_since(warnings)?;
        Ok(heard)
    }

    /// `None`: something came, or the row or the server is not what it was.
    async fn ask_quietly(&mut self, beat: &Beat<'_>) -> Result<Option<Heard>, LeaseError> {
        let warnings = self.client.warnings();
        let answer = self
            .client
            .query_opt(&self.quiet_beat, &beat.parameters())
            .await?;
        self.warned_since(warnings)?;
        answer
            .map(|row| Heard::nothing(&row, beat.registered.timeline))
            .transpose()
    }

    /// A COMMIT that was only cancelled out of its wait warns.
    fn warned_since(&self, warnings: u64) -> Result<(), LeaseError> {
        if self.client.warnings() == warnings {
            Ok(())
        } else {
            Err(LeaseError::Warned)
        }
    }
}

impl Beat<'_> {
    fn parameters(&self) -> [&(dyn ToSql + Sync); 6] {
        [
            &self.registered.id,
            &self.number,
            &self.answered,
            &self.timeline,
            &self.registered.system,
            &self.snapshot,
        ]
    }
}

impl Heard {
    /// The row was changed, so the server is of this timeline, and nothing came.
    fn nothing(row: &Row, timeline: u32) -> Result<Self, LeaseError> {
        let snapshot: String = codec::get(row, "snapshot")?;
        Ok(Self {
            mine: true,
            answer: Answer {
                at: codec::get(row, "now")?,
                entries: Pieces::default(),
                timeline,
                snapshot: visible(&snapshot)?,
            },
            snapshot,
        })
    }

    /// Row by row: the first answer has all that there is. It ends when the server is ready for the
    /// next query: it has committed. The row without an id is the server's word about itself.
    async fn read(rows: RowStream) -> Result<Self, LeaseError> {
        let mut rows = pin!(rows);
        let mut entries = Pieces::default();
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
        Ok(Self {
            mine: codec::get::<Option<Uuid>>(word, "subject")?.is_some(),
            answer: Answer {
                at: codec::get(word, "until")?,
                entries,
                timeline: codec::timeline(word)?,
                snapshot: visible(&snapshot)?,
            },
            snapshot,
        })
    }
}

fn visible(snapshot: &str) -> Result<Snapshot, LeaseError> {
    snapshot
        .parse()
        .map_err(|_| LeaseError::Unreadable("snapshot"))
}

fn milliseconds(time: Duration) -> u128 {
    time.as_millis().max(1)
}
