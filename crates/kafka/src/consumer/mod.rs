//! A consumer of registrations, for services that act on them.
//!
//! A service implements [`Handler`]; [`Consumer::run`] does the rest:
//!
//! - *At least once.* An offset is committed after the effect, never before. After a crash or a
//!   rebalance an event may come again, under the same [`Event::id`]: remember it with the effect.
//! - *In order for each user*, and users do not wait for each other: one that is retried or parked
//!   holds back only his own later events.
//! - *Poison goes to the dead-letter topic* with the reason in its headers ([`dead_letter`]), and so do
//!   later events of its key, until it is sent again; [`ParkedKeys`] remembers which those are.
//! - *Written by what schema?* The id in the value says it; the registry tells the text. A registry that
//!   is away is waited for; an id that it does not know, for a while.

pub mod dead_letter;
mod decode;
mod deferred;
mod framing;
mod health;
mod keys;
mod membership;
mod progress;
mod reading;
mod schemas;
mod settings;
mod work;

use std::{collections::HashMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use rdkafka::{
    Message,
    consumer::{CommitMode, Consumer as _, StreamConsumer},
    error::KafkaError,
    message::{BorrowedMessage, Headers},
};
use sso_events::{
    failpoint::{self, Step},
    registration::RegistrationMessage,
};
use tokio::{
    sync::Semaphore,
    task::{JoinSet, spawn_blocking},
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub use self::{
    health::ConsumerHealth,
    keys::{InMemory, ParkedKeys, Place},
    settings::ConsumerSettings,
};

use self::{
    dead_letter::DeadLetters,
    decode::Decoder,
    deferred::Deferred,
    keys::Keys,
    membership::Membership,
    progress::Assigned,
    work::{Finished, Work},
};
use crate::{SettingsError, registry::Registry, verdict};

/// What a service does with an event.
#[async_trait]
pub trait Handler: Send + Sync + 'static {
    /// Acts on an event. It may come again: after a crash, after a rebalance, after [`Outcome::Retry`] and
    /// [`Outcome::Defer`].
    async fn handle(&self, event: &Event) -> Outcome;

    /// An event that it has deferred is parked.
    fn parked(&self, _: &Event) {}
}

/// What became of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The effect is there and will stay.
    Done,
    /// Not now: again after this time. The user's later events wait.
    Retry(Duration),
    /// Not now, and because of this event alone: again after this time. Where others would have to wait for
    /// it, to the dead-letter topic, for this reason. No secret and no personal data in it.
    Defer(Duration, String),
    /// Never: to the dead-letter topic, for this reason. No secret and no personal data in it.
    Park(String),
}

/// A registration.
#[derive(Clone, PartialEq)]
pub struct Event {
    /// The same through all deliveries.
    pub id: Uuid,
    /// The user.
    pub user: Uuid,
    /// What happened.
    pub message: RegistrationMessage,
    /// W3C Trace Context of the request that caused it.
    pub traceparent: Option<String>,
    /// W3C Trace Context of the request that caused it.
    pub tracestate: Option<String>,
}

/// Without the message: it holds personal data.
impl std::fmt::Debug for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Event")
            .field("id", &self.id)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// A record as it was taken.
#[derive(Debug, Clone)]
pub(crate) struct Taken {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) key: Vec<u8>,
    pub(crate) value: Vec<u8>,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
}

impl Taken {
    fn of(message: &BorrowedMessage<'_>) -> Self {
        let mut headers = Vec::new();
        if let Some(found) = message.headers() {
            headers.extend(found.iter().map(|header| {
                let value = header.value.unwrap_or_default().to_vec();
                (header.key.to_owned(), value)
            }));
        }
        Self {
            partition: message.partition(),
            offset: message.offset(),
            key: message.key().unwrap_or_default().to_vec(),
            value: message.payload().unwrap_or_default().to_vec(),
            headers,
        }
    }

    /// A header as text.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let found = self.headers.iter().rfind(|(key, _)| key == name);
        found.and_then(|(_, value)| String::from_utf8(value.clone()).ok())
    }
}

/// A member of a group.
pub struct Consumer {
    settings: ConsumerSettings,
    member: Arc<StreamConsumer<Membership>>,
    work: Arc<Work>,
}

/// Whether records are taken.
#[derive(Debug, Default)]
struct Flow {
    paused: bool,
    /// What all partitions that are assigned were told of it. One that comes may be either: librdkafka
    /// keeps the pause of a partition that went and comes again.
    told: Option<bool>,
}

/// How often at most an error of the client itself is told: while no broker answers there are many a second.
const TELLING: Duration = Duration::from_secs(10);

impl Consumer {
    /// A consumer. Connects to nothing yet: brokers and registry may be away.
    pub fn new(
        settings: ConsumerSettings,
        registry: Arc<Registry>,
        handler: Arc<dyn Handler>,
        parked: Box<dyn ParkedKeys>,
    ) -> Result<Self, SettingsError> {
        let membership = Membership::new(settings.connection.context());
        let consumer = settings.client_config().create_with_context(membership)?;
        let work = Work {
            handler,
            decoder: Decoder::new(registry, settings.unknown_schema),
            dead_letters: DeadLetters::new(
                &settings.connection,
                &settings.dead_letter_topic,
                &settings.topic,
                &settings.group,
            )?,
            parked: Keys::new(parked),
            room: Semaphore::new(settings.concurrency),
            // The other half is for those who do not wait.
            deferred: Deferred::new(settings.pending / 2),
            topic: settings.topic.clone(),
            group: settings.group.clone(),
        };
        Ok(Self {
            member: Arc::new(consumer),
            work: Arc::new(work),
            settings,
        })
    }

    /// For readiness, while it runs.
    pub fn health(&self) -> ConsumerHealth {
        ConsumerHealth {
            member: Arc::downgrade(&self.member),
            topic: self.settings.topic.clone(),
        }
    }

    /// Consumes until it is told to stop; then what is under way may end, and its offsets are committed.
    pub async fn run(self, stop: CancellationToken) -> Result<(), SettingsError> {
        self.member.subscribe(&[&self.settings.topic])?;
        let membership = self.member.context();
        let mut assigned = Assigned::default();
        let mut running: JoinSet<Finished> = JoinSet::new();
        let mut flow = Flow::default();
        let mut told = None;
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                Some(finished) = running.join_next() => {
                    self.finish(finished, &mut assigned, &mut running);
                }
                () = membership.changed() => {
                    assigned.keep(|partition, generation| membership.holds(partition, generation));
                    flow.told = None;
                }
                message = self.member.recv() => match message {
                    Ok(message) => self.take(&message, &mut assigned, &mut running),
                    // No pause: rebalances wait in the same queue.
                    Err(error) => self.trouble(&error, &mut told),
                },
            }
            self.limit(&assigned, &mut flow);
        }
        self.drain(assigned, running).await;
        Ok(())
    }

    fn take(
        &self,
        message: &BorrowedMessage<'_>,
        assigned: &mut Assigned,
        running: &mut JoinSet<Finished>,
    ) {
        let Some(claim) = self.member.context().claim(message.partition()) else {
            // It was revoked a moment ago.
            return;
        };
        self.member.context().accept();
        if let Some(first) = assigned.take(Taken::of(message), claim) {
            self.start(first, running);
        }
    }

    fn start(&self, (taken, claim): (Taken, membership::Claim), running: &mut JoinSet<Finished>) {
        running.spawn(Arc::clone(&self.work).run(taken, claim));
    }

    /// Notes what became of an event, and goes on with the next of its key.
    fn finish(
        &self,
        finished: Result<Finished, tokio::task::JoinError>,
        assigned: &mut Assigned,
        running: &mut JoinSet<Finished>,
    ) {
        let Ok(finished) = finished else {
            // Panics end within their work; a task is aborted only with the runtime.
            return;
        };
        let outcome = assigned.finish(&finished);
        if let Some(next_offset) = outcome.commit {
            self.store(finished.taken.partition, next_offset);
        }
        failpoint::passed(Step::Finished);
        if let Some(next) = outcome.next {
            self.start(next, running);
        }
    }

    /// What is stored is committed every second, and when partitions go.
    fn store(&self, partition: i32, next_offset: i64) {
        let mut offsets = rdkafka::TopicPartitionList::new();
        let offset = rdkafka::Offset::Offset(next_offset);
        let stored = offsets
            .add_partition_offset(&self.settings.topic, partition, offset)
            .and_then(|()| self.member.store_offsets(&offsets));
        if let Err(error) = stored {
            // It is not ours any more: whoever has it handles the event again.
            tracing::debug!(partition, %error, "an offset is not stored");
        }
    }

    /// Takes no more while there is too much.
    fn limit(&self, assigned: &Assigned, flow: &mut Flow) {
        let (pending, ahead) = (assigned.pending(), assigned.ahead());
        let full = pending >= self.settings.pending || ahead >= self.settings.ahead;
        let low = pending <= self.settings.pending / 2 && ahead <= self.settings.ahead / 2;
        flow.paused = full || (flow.paused && !low);
        let first = if flow.paused {
            assigned.first(self.settings.ahead / 2)
        } else {
            HashMap::new()
        };
        self.work.deferred.let_know(first);
        if flow.told == Some(flow.paused) {
            return;
        }
        let partitions = self.member.assignment();
        let done = partitions.and_then(|partitions| {
            if flow.paused {
                self.member.pause(&partitions)
            } else {
                self.member.resume(&partitions)
            }
        });
        match done {
            Ok(()) => flow.told = Some(flow.paused),
            Err(error) => tracing::debug!(%error, "partitions cannot be paused or resumed"),
        }
    }

    fn trouble(&self, error: &KafkaError, told: &mut Option<Instant>) {
        let (topic, group) = (&self.settings.topic, &self.settings.group);
        let refused = verdict::of_reader(error, topic, group);
        // It is said once, and lasts.
        if let Some(why) = &refused {
            self.member.context().refuse(why.clone());
        }
        if refused.is_some() || told.is_none_or(|at| at.elapsed() >= TELLING) {
            *told = Some(Instant::now());
            let why = refused.unwrap_or_else(|| verdict::shown(error));
            tracing::warn!(why, topic = self.settings.topic, "no events can be read");
        }
    }

    async fn drain(self, mut assigned: Assigned, mut running: JoinSet<Finished>) {
        // Whoever waits to try again gives up; whoever acts may end.
        self.member.context().let_go();
        let ended = async {
            while let Some(finished) = running.join_next().await {
                if let Ok(finished) = finished
                    && let Some(next_offset) = assigned.finish(&finished).commit
                {
                    self.store(finished.taken.partition, next_offset);
                }
            }
        };
        if timeout(self.settings.drain, ended).await.is_err() {
            tracing::warn!("events were still handled at the end of the drain deadline");
        }
        let consumer = self.member;
        let closed = spawn_blocking(move || {
            // Nothing to commit is an error, too.
            let _ = consumer.commit_consumer_state(CommitMode::Sync);
            drop(consumer);
        });
        let _ = closed.await;
    }
}
