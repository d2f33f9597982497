//! Events to a topic.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use prost::Message;
use rdkafka::producer::Producer;
use sso_events::{DeliveryError, Envelope, EventSink, REGISTRATION, registration};
use tokio::task::spawn_blocking;

use crate::{
    Connection, SettingsError, metrics,
    producer::Live,
    registry::Registry,
    schema::Published,
    verdict::{Reason, Verdict},
    wire,
};

/// How long a look at the brokers may take.
const LOOK: Duration = Duration::from_secs(3);

/// Where events go, and how.
#[derive(Debug, Clone)]
pub struct SinkSettings {
    /// The brokers.
    pub connection: Connection,
    /// The topic; it must exist.
    pub topic: String,
    /// How long brokers may take to acknowledge. Shorter than the time after which another instance
    /// delivers instead.
    pub delivery_timeout: Duration,
    /// How batches are compressed.
    pub compression: Compression,
    /// Longest record in bytes.
    pub max_record: u32,
}

/// How batches are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// Not at all: small events in small batches gain little.
    #[default]
    None,
    /// Quick.
    Lz4,
    /// Small.
    Zstd,
    /// For old consumers.
    Gzip,
}

/// How the ways to the topic are; a sentence each, if there is a problem.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Status {
    /// The brokers and the topic.
    pub kafka: Option<String>,
    /// The schema registry.
    pub registry: Option<String>,
}

/// The sink that a relay gives events to.
///
/// An event of a key is sent only when the one before it is acknowledged, so neither a retry nor a
/// new producer can turn them around.
#[derive(Debug)]
pub struct KafkaSink {
    settings: SinkSettings,
    schema: Published,
    producer: Mutex<Option<Arc<Live>>>,
    trouble: Mutex<Option<String>>,
}

/// A record on its way.
pub(crate) struct Outgoing<'a> {
    pub(crate) event: &'a Envelope,
    pub(crate) key: String,
    pub(crate) value: Vec<u8>,
}

impl KafkaSink {
    /// A sink. Connects to nothing yet: brokers and registry may be away.
    pub fn new(settings: SinkSettings, registry: Arc<Registry>) -> Result<Self, SettingsError> {
        let first = Live::new(&settings)?;
        Ok(Self {
            schema: Published::new(registry, &settings.topic),
            settings,
            producer: Mutex::new(Some(Arc::new(first))),
            trouble: Mutex::default(),
        })
    }

    /// Looks at the brokers, the topic and the registry, and gives the registry the schema again if
    /// it has lost it. Within seconds.
    pub async fn look(&self) -> Status {
        let (kafka, registry) = tokio::join!(self.look_at_topic(), self.schema.verify());
        Status {
            kafka: kafka.err().or_else(|| self.trouble()),
            registry: registry.err().map(|error| error.to_string()),
        }
    }

    /// What hindered the last delivery: brokers may show the topic and yet take nothing.
    fn trouble(&self) -> Option<String> {
        let trouble = self.trouble.lock();
        trouble.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn remember_trouble(&self, reports: &[Option<Verdict>]) {
        let hindered = reports.iter().flatten().find(|verdict| {
            verdict.reason != Reason::Registry
                && matches!(verdict.error, DeliveryError::Unreachable(_))
        });
        if hindered.is_some() || reports.iter().any(Option::is_none) {
            let trouble = self.trouble.lock();
            *trouble.unwrap_or_else(PoisonError::into_inner) = hindered.map(Verdict::sentence);
        }
    }

    /// As [`Self::look`], and changes nothing.
    pub async fn examine(&self) -> Status {
        let (kafka, registry) = tokio::join!(self.look_at_topic(), self.schema.examine());
        Status {
            kafka: kafka.err(),
            registry: registry.err().map(|error| error.to_string()),
        }
    }

    async fn look_at_topic(&self) -> Result<(), String> {
        let known = self.live().map_err(|verdict| verdict.sentence())?;
        self.replace_if_fatal(&known);
        let live = self.live().map_err(|verdict| verdict.sentence())?;
        let topic = self.settings.topic.clone();
        let looked = spawn_blocking(move || live.look(&topic, LOOK)).await;
        looked
            .unwrap_or_else(|error| Err(Verdict::unreachable(Reason::Other, error.to_string())))
            .map_err(|verdict| verdict.sentence())
    }

    /// The producer; a new one after a fatal error.
    fn live(&self) -> Result<Arc<Live>, Verdict> {
        let mut producer = self.producer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(live) = producer.as_ref() {
            return Ok(Arc::clone(live));
        }
        let live = Live::new(&self.settings)
            .map_err(|error| Verdict::unreachable(Reason::Other, error.to_string()))?;
        Ok(Arc::clone(producer.insert(Arc::new(live))))
    }

    /// Gives a producer up that cannot send any more.
    fn replace_if_fatal(&self, live: &Arc<Live>) {
        let Some((code, reason)) = live.producer.client().fatal_error() else {
            return;
        };
        let mut producer = self.producer.lock().unwrap_or_else(PoisonError::into_inner);
        if producer
            .as_ref()
            .is_some_and(|current| Arc::ptr_eq(current, live))
        {
            tracing::warn!(%code, reason, "the Kafka producer has failed for good: the next one is new");
            *producer = None;
        }
    }

    /// Delivers the events of the batch that can be, in waves: the first of each key, the second of
    /// each key whose first is there, and so on.
    async fn in_waves(
        &self,
        live: &Arc<Live>,
        outgoing: Vec<(usize, Outgoing<'_>)>,
        reports: &mut [Option<Verdict>],
    ) {
        let mut failed = HashSet::new();
        let mut left = outgoing;
        while !left.is_empty() {
            let mut keys = HashSet::new();
            let (wave, later): (Vec<_>, Vec<_>) = left
                .into_iter()
                .filter(|(_, record)| !failed.contains(&record.event.key))
                .partition(|(_, record)| keys.insert(record.event.key));
            let records: Vec<&Outgoing<'_>> = wave.iter().map(|(_, record)| record).collect();
            let sent = live.send(&records, &self.settings).await;
            let mut away = None;
            for ((at, record), report) in wave.iter().zip(sent) {
                if let Err(verdict) = report {
                    if matches!(verdict.error, DeliveryError::Unreachable(_)) {
                        away = Some(verdict.clone());
                    }
                    failed.insert(record.event.key);
                    reports[*at] = Some(verdict);
                } else {
                    reports[*at] = None;
                }
            }
            // Another wave would wait as long for nothing.
            if let Some(away) = away {
                for (at, record) in later {
                    if !failed.contains(&record.event.key) {
                        reports[at] = Some(away.clone());
                    }
                }
                return;
            }
            left = later;
        }
    }
}

#[async_trait]
impl EventSink for KafkaSink {
    async fn deliver(&self, batch: &[Envelope]) -> Vec<Result<(), DeliveryError>> {
        let started = Instant::now();
        let schema = self.schema.id().await;
        let ready = match &schema {
            Ok(schema) => self.live().map(|live| (*schema, live)),
            Err(error) => Err(Verdict::of_registry(error)),
        };
        let mut reports: Vec<Option<Verdict>> = vec![Some(held_back()); batch.len()];
        let mut failed = HashSet::new();
        match ready {
            Err(verdict) => reports.fill(Some(verdict)),
            Ok((schema, live)) => {
                let mut outgoing = Vec::with_capacity(batch.len());
                for (at, event) in batch.iter().enumerate() {
                    if failed.contains(&event.key) {
                        continue;
                    }
                    match encode(event, schema) {
                        Ok(record) => outgoing.push((at, record)),
                        Err(verdict) => {
                            // Those before it in the batch are sent, those after it are not.
                            failed.insert(event.key);
                            reports[at] = Some(verdict);
                        }
                    }
                }
                self.in_waves(&live, outgoing, &mut reports).await;
                self.replace_if_fatal(&live);
            }
        }
        self.remember_trouble(&reports);
        metrics::took(started.elapsed());
        reports.into_iter().map(settle).collect()
    }
}

fn encode(event: &Envelope, schema: u32) -> Result<Outgoing<'_>, Verdict> {
    if event.kind != REGISTRATION {
        return Err(Verdict::refused(
            Reason::Schema,
            format!("there is no schema for events of the kind {:?}", event.kind),
        ));
    }
    registration::RegistrationMessage::decode(&*event.payload).map_err(|_| {
        Verdict::refused(
            Reason::Schema,
            "the event is not of the schema Registration.v1.RegistrationMessage",
        )
    })?;
    Ok(Outgoing {
        event,
        key: event.key.to_string(),
        value: wire::frame(schema, &event.payload),
    })
}

fn held_back() -> Verdict {
    Verdict {
        reason: Reason::Other,
        error: DeliveryError::HeldBack,
    }
}

/// Counts and answers.
fn settle(report: Option<Verdict>) -> Result<(), DeliveryError> {
    let Some(verdict) = report else {
        metrics::sent("delivered", 1);
        return Ok(());
    };
    match &verdict.error {
        DeliveryError::HeldBack => metrics::sent("held_back", 1),
        DeliveryError::Refused(_) => metrics::sent("refused", 1),
        DeliveryError::Unreachable(_) => metrics::sent("unreachable", 1),
    }
    if verdict.error != DeliveryError::HeldBack {
        metrics::failed(verdict.reason);
    }
    Err(verdict.error)
}
