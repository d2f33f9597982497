//! The consumer, on real brokers.

mod lost;
mod members;
mod poison;
mod questions;
mod tokens;

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::Result;
use async_trait::async_trait;
use sso_events::EventSink;
use sso_kafka::consumer::{
    Consumer, ConsumerHealth, ConsumerSettings, Event, Handler, InMemory, Outcome,
    dead_letter::{DeadLetter, DeadLetterTopic},
};
use sso_testkit::servers::{kafka::Kafka, registry::Registry};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::support::{TOPIC, client, connection, deliver_all, event, events, eventually, id, sink};

const GROUP: &str = "tests";
const DEAD_LETTERS: &str = "registration.tests.dead-letter";

/// Remembers what it was given, and does what it was told to.
#[derive(Default)]
struct Notes {
    seen: Mutex<Vec<(Uuid, Uuid)>>,
    /// What its consumers have parked.
    parked: InMemory,
    /// By user: what to answer, the last first.
    orders: Mutex<HashMap<Uuid, Vec<Outcome>>>,
    /// While it is, every event is retried.
    closed: AtomicBool,
}

impl Notes {
    fn seen(&self) -> Vec<(Uuid, Uuid)> {
        self.seen.lock().unwrap().clone()
    }

    fn of(&self, user: Uuid) -> Vec<Uuid> {
        let seen = self.seen();
        seen.iter()
            .filter(|(_, of)| *of == user)
            .map(|(event, _)| *event)
            .collect()
    }

    /// How many events it was given.
    fn count(&self) -> usize {
        let seen = self.seen();
        let events: HashSet<_> = seen.iter().map(|(event, _)| event).collect();
        events.len()
    }

    fn order(&self, user: Uuid, outcomes: &[Outcome]) {
        self.orders.lock().unwrap().insert(user, outcomes.to_vec());
    }

    fn closed() -> Self {
        Self {
            closed: true.into(),
            ..Self::default()
        }
    }

    /// Forgets what it was given; from now on events are done.
    fn open(&self) {
        let mut seen = self.seen.lock().unwrap();
        self.closed.store(false, Relaxed);
        seen.clear();
    }
}

#[async_trait]
impl Handler for Notes {
    async fn handle(&self, event: &Event) -> Outcome {
        let mut seen = self.seen.lock().unwrap();
        seen.push((event.id, event.user));
        if self.closed.load(Relaxed) {
            return Outcome::Retry(Duration::from_millis(50));
        }
        drop(seen);
        let mut orders = self.orders.lock().unwrap();
        let order = orders.get_mut(&event.user).and_then(Vec::pop);
        drop(orders);
        assert_ne!(order, Some(panics()), "told to panic");
        order.unwrap_or(Outcome::Done)
    }
}

/// Not an outcome: an order to panic.
fn panics() -> Outcome {
    Outcome::Park("panic".to_owned())
}

struct Running {
    health: ConsumerHealth,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    fn start(kafka: &Kafka, registry: &Registry, notes: &Arc<Notes>) -> Result<Self> {
        Self::start_with(kafka, registry, notes, |_| {})
    }

    fn start_with(
        kafka: &Kafka,
        registry: &Registry,
        notes: &Arc<Notes>,
        adjust: impl FnOnce(&mut ConsumerSettings),
    ) -> Result<Self> {
        let mut settings = ConsumerSettings::new(connection(&kafka.brokers()), TOPIC, GROUP);
        settings.unknown_schema = Duration::from_millis(500);
        adjust(&mut settings);
        let consumer = Consumer::new(
            settings,
            client(registry)?,
            Arc::clone(notes) as _,
            Box::new(notes.parked.clone()),
        )?;
        let health = consumer.health();
        let stop = CancellationToken::new();
        let told = stop.clone();
        let task = tokio::spawn(async move { consumer.run(told).await.unwrap() });
        Ok(Self { health, stop, task })
    }

    async fn stop(self) -> Result<()> {
        self.stop.cancel();
        Ok(self.task.await?)
    }
}

async fn topics(partitions: i32) -> Result<(Kafka, Registry)> {
    let kafka = Kafka::start().await?;
    topics_of(&kafka, partitions).await?;
    Ok((kafka, Registry::in_memory()?))
}

async fn topics_of(kafka: &Kafka, partitions: i32) -> Result<()> {
    kafka.create_topic(TOPIC, partitions).await?;
    kafka.create_topic(DEAD_LETTERS, 1).await
}

fn dead_letter_topic(kafka: &Kafka) -> DeadLetterTopic {
    DeadLetterTopic {
        connection: connection(&kafka.brokers()),
        name: DEAD_LETTERS.to_owned(),
        group: GROUP.to_owned(),
    }
}

async fn dead_letters(kafka: &Kafka) -> Result<Vec<DeadLetter>> {
    Ok(dead_letter_topic(kafka).list(100).await?)
}

#[tokio::test]
async fn events_are_handled_once_in_a_quiet_life_and_not_again_after_a_restart() -> Result<()> {
    let (kafka, registry) = topics(3).await?;
    let sink = sink(&kafka, &registry)?;
    let mut first = events(0..50);
    first[7].traceparent = Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into());
    assert!(sink.deliver(&first).await.iter().all(Result::is_ok));
    let notes = Arc::new(Notes::default());
    let running = Running::start(&kafka, &registry, &notes)?;
    eventually("all are handled", async || Ok(notes.seen().len() == 50)).await?;
    // Draining commits what is done.
    running.stop().await?;

    assert!(
        sink.deliver(&events(50..60))
            .await
            .iter()
            .all(Result::is_ok)
    );
    let notes = Arc::new(Notes::default());
    let running = Running::start(&kafka, &registry, &notes)?;
    eventually("the new ones are handled", async || {
        Ok(notes.seen().len() >= 10)
    })
    .await?;
    running.stop().await?;
    let mut seen: Vec<_> = notes.seen().into_iter().map(|(event, _)| event).collect();
    seen.sort();
    assert_eq!(seen, (50..60).map(id).collect::<Vec<_>>());
    Ok(())
}

#[tokio::test]
async fn one_user_who_is_retried_holds_back_only_his_own_events() -> Result<()> {
    let (kafka, registry) = topics(1).await?;
    let sink = sink(&kafka, &registry)?;
    let slow = id(9);
    let mut batch = vec![event(id(1), slow), event(id(2), slow)];
    batch.extend(events(10..30));
    assert!(sink.deliver(&batch).await.iter().all(Result::is_ok));
    let notes = Arc::new(Notes::default());
    notes.order(slow, &[Outcome::Retry(Duration::from_hours(1))]);
    let running = Running::start(&kafka, &registry, &notes)?;
    eventually("the others are handled", async || {
        Ok(notes.seen().len() == 21)
    })
    .await?;
    assert_eq!(notes.of(slow), [id(1)]);
    running.stop().await?;

    // What was not done comes again, and with it what was done after it.
    notes.order(slow, &vec![Outcome::Retry(Duration::from_millis(10)); 3]);
    let running = Running::start(&kafka, &registry, &notes)?;
    eventually("he is handled too", async || {
        Ok(notes.of(slow).last() == Some(&id(2)))
    })
    .await?;
    running.stop().await?;
    assert_eq!(notes.of(slow), [1, 1, 1, 1, 1, 2].map(id));
    Ok(())
}

/// A mail that one server of the world does not take now must not hold up all others for hours.
#[tokio::test]
async fn one_who_is_deferred_is_parked_once_others_would_wait_for_him() -> Result<()> {
    let (kafka, registry) = topics(1).await?;
    let sink = sink(&kafka, &registry)?;
    let (slow, patient) = (id(8), id(9));
    let notes = Arc::new(Notes::default());
    let hour = Duration::from_hours(1);
    notes.order(slow, &[Outcome::Defer(hour, "the mailbox is full".into())]);
    notes.order(patient, &[Outcome::Defer(hour, "not now".into())]);
    let running = Running::start_with(&kafka, &registry, &notes, |settings| settings.ahead = 20)?;
    let mut batch = vec![event(id(1), slow)];
    batch.extend(events(10..28));
    deliver_all(&sink, &batch).await?;
    eventually("the others are handled", async || Ok(notes.count() == 19)).await?;
    assert_eq!(dead_letters(&kafka).await?, [], "there is room for him");
    let mut batch = events(28..60);
    batch.push(event(id(2), patient));
    deliver_all(&sink, &batch).await?;
    eventually("all are handled", async || Ok(notes.count() == 52)).await?;
    let letters = dead_letters(&kafka).await?;
    let reasons: Vec<_> = letters.iter().map(|letter| &*letter.reason).collect();
    assert_eq!(
        reasons,
        ["the mailbox is full, and others would wait for it"]
    );
    running.stop().await
}

#[tokio::test]
async fn events_wait_for_a_registry_that_is_away() -> Result<()> {
    let (kafka, mut registry) = topics(1).await?;
    let sink = sink(&kafka, &registry)?;
    assert!(sink.deliver(&events(0..3)).await.iter().all(Result::is_ok));
    registry.go_away();
    let notes = Arc::new(Notes::default());
    let before = registry.requests();
    let running = Running::start(&kafka, &registry, &notes)?;
    registry.fail(Some(503));
    registry.come_back()?;
    eventually("it is asked", async || Ok(registry.requests() > before + 3)).await?;
    assert!(notes.seen().is_empty());
    assert!(dead_letters(&kafka).await?.is_empty());
    registry.fail(None);
    eventually("all are handled", async || Ok(notes.seen().len() == 3)).await?;
    running.stop().await
}

#[tokio::test]
async fn a_missing_topic_is_told_and_events_are_read_once_it_is_there() -> Result<()> {
    let mut kafka = Kafka::start().await?;
    let registry = Registry::in_memory()?;
    let notes = Arc::new(Notes::default());
    let running = Running::start(&kafka, &registry, &notes)?;
    let told = async |words: &str| {
        let problem = running.health.look().await;
        Ok(problem.is_some_and(|problem| problem.contains(words)))
    };
    eventually("it is told", async || {
        told("there is no topic registration").await
    })
    .await?;
    let missing = dead_letters(&kafka).await.unwrap_err().to_string();
    assert!(
        missing.contains("there is no topic registration.tests.dead-letter"),
        "{missing}"
    );
    kafka.create_topic(TOPIC, 1).await?;
    let sink = sink(&kafka, &registry)?;
    assert_eq!(sink.deliver(&events(0..1)).await, [Ok(())]);
    eventually("it is handled", async || Ok(notes.seen().len() == 1)).await?;
    assert_eq!(running.health.look().await, None);
    kafka.kill_all();
    eventually("it is told", async || told("no broker").await).await?;
    running.stop().await
}
