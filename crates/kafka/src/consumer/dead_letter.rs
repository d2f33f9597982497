//! The dead-letter topic: what could not be handled, why, and how it is sent again.
//!
//! A dead letter has the key, the value and the headers of the record, and after them
//! `dead-letter-reason`, `-topic`, `-partition`, `-offset`, `-group`. One that is too large for the topic
//! goes without value and headers, with `dead-letter-left-out` (how many bytes the value had): it cannot
//! be sent again, lies where its headers say, and holds back nothing of its key. Sending one again writes it to the
//! topic that it came from (with another schema's id, if the registry lost the one
//! that it names), with the headers `dead-letter-resent` (the group it is for) and `dead-letter-origin`, and
//! to the dead-letter topic a record without value that says which letter is settled.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use rdkafka::{
    config::FromClientConfigAndContext,
    error::KafkaError,
    message::{Header, OwnedHeaders},
    producer::{FutureProducer, FutureRecord},
    util::Timeout,
};
use tokio::task::spawn_blocking;

use super::{Taken, framing::Framing, reading};
use crate::{
    Connection, SettingsError,
    context::Context,
    registry::Registry,
    verdict::{self, Reason, Verdict},
};

/// The header of a record that was sent again; its value is the group.
pub const RESENT: &str = "dead-letter-resent";
/// The header of such a record that says which record was parked: `<partition>:<offset>` in its topic.
pub(super) const ORIGIN: &str = "dead-letter-origin";
const REASON: &str = "dead-letter-reason";
const TOPIC: &str = "dead-letter-topic";
const PARTITION: &str = "dead-letter-partition";
const OFFSET: &str = "dead-letter-offset";
const GROUP: &str = "dead-letter-group";
/// How many bytes the value had that the letter has not.
const LEFT_OUT: &str = "dead-letter-left-out";
pub(super) const EVENT_ID: &str = "event-id";
/// Longest key and event id of such a letter in bytes: a stranger may write anything.
const MAX_KEPT: usize = 256;
/// Partition and offset of the dead letter that is settled.
const SETTLED: &str = "dead-letter-settled";

/// How long brokers may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// A record that was parked. Displays nothing of its value: it holds personal data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Where it lies in the dead-letter topic.
    pub partition: i32,
    /// Where it lies in the dead-letter topic.
    pub offset: i64,
    /// The user's id.
    pub key: String,
    /// The event's id, as its header has it.
    pub event_id: Option<String>,
    /// Why.
    pub reason: String,
    /// Where it came from.
    pub topic: String,
    /// Who parked it.
    pub group: String,
    /// It was too large: it has no value and cannot be sent again.
    pub left_out: bool,
}

/// Why dead letters cannot be read or sent.
#[derive(Debug, thiserror::Error)]
pub enum DeadLetterError {
    /// A setting cannot work.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// Brokers or topics.
    #[error("{0}")]
    Kafka(String),
    /// There is none at this place, or it is settled.
    #[error("there is no unsettled dead letter at partition {partition}, offset {offset}")]
    Unknown {
        /// The partition.
        partition: i32,
        /// The offset.
        offset: i64,
    },
}

impl From<KafkaError> for DeadLetterError {
    fn from(error: KafkaError) -> Self {
        Self::Kafka(verdict::shown(&error))
    }
}

/// Writes dead letters.
pub(super) struct DeadLetters {
    producer: FutureProducer<Context>,
    to: String,
    from: String,
    group: String,
    context: Context,
}

impl DeadLetters {
    pub(super) fn new(
        connection: &Connection,
        to: &str,
        from: &str,
        group: &str,
    ) -> Result<Self, SettingsError> {
        let context = connection.context();
        Ok(Self {
            producer: producer(connection, context.clone())?,
            to: to.to_owned(),
            from: from.to_owned(),
            group: group.to_owned(),
            context,
        })
    }

    /// Writes one; when this returns, brokers have it. Whether it has its value.
    pub(super) async fn put(&self, taken: &Taken, why: &str) -> Result<bool, String> {
        let whole = self.tell(copied(taken), taken, why);
        match self.send(&taken.key, &taken.value, whole).await {
            // It fitted into where it came from, without what a letter has more.
            Err(not) if not.reason == Reason::TooLarge => {}
            sent => return sent.map(|()| true).map_err(|not| not.sentence()),
        }
        let kept = |bytes: &[u8]| bytes.len() <= MAX_KEPT;
        let mut headers = self.tell(OwnedHeaders::new(), taken, why);
        headers = add(headers, LEFT_OUT, &taken.value.len().to_string());
        if let Some(id) = taken.header(EVENT_ID).filter(|id| kept(id.as_bytes())) {
            headers = add(headers, EVENT_ID, &id);
        }
        let key = if kept(&taken.key) {
            &taken.key[..]
        } else {
            &[]
        };
        let sent = self.send(key, &[], headers).await;
        sent.map(|()| false).map_err(|not| not.sentence())
    }

    fn tell(&self, headers: OwnedHeaders, taken: &Taken, why: &str) -> OwnedHeaders {
        let (partition, offset) = (taken.partition.to_string(), taken.offset.to_string());
        [
            (REASON, why),
            (TOPIC, &self.from),
            (PARTITION, &partition),
            (OFFSET, &offset),
            (GROUP, &self.group),
        ]
        .into_iter()
        .fold(headers, |headers, (key, value)| add(headers, key, value))
    }

    async fn send(&self, key: &[u8], value: &[u8], headers: OwnedHeaders) -> Result<(), Verdict> {
        let mut record = FutureRecord::to(&self.to).payload(value).headers(headers);
        if !key.is_empty() {
            record = record.key(key);
        }
        let sent = self.producer.send(record, Timeout::After(PATIENCE)).await;
        sent.map(drop)
            .map_err(|(error, _)| verdict::judge(&error, &self.to, value.len(), &self.context))
    }
}

/// A dead-letter topic, for who looks into it.
#[derive(Debug, Clone)]
pub struct DeadLetterTopic {
    /// The brokers.
    pub connection: Connection,
    /// Its name.
    pub name: String,
    /// The group of the service: it has the right to read. It is not joined, and nothing is committed.
    pub group: String,
}

impl DeadLetterTopic {
    /// The dead letters that are not settled, oldest first in each partition, at most `limit`.
    pub async fn list(&self, limit: usize) -> Result<Vec<DeadLetter>, DeadLetterError> {
        let unsettled = self.unsettled().await?;
        let letters = unsettled.iter().take(limit).map(|taken| DeadLetter {
            partition: taken.partition,
            offset: taken.offset,
            key: String::from_utf8_lossy(&taken.key).into_owned(),
            event_id: taken.header(EVENT_ID),
            reason: taken.header(REASON).unwrap_or_default(),
            topic: taken.header(TOPIC).unwrap_or_default(),
            group: taken.header(GROUP).unwrap_or_default(),
            left_out: taken.header(LEFT_OUT).is_some(),
        });
        Ok(letters.collect())
    }

    /// Sends some again to where they came from, for the groups that parked them: one after the other, up to
    /// the first that cannot be sent. Each is named by its partition and offset here. The registry may have
    /// lost its data: an event that names a schema which is not ours there goes with the id that ours has
    /// now. While it is away nothing is sent.
    pub async fn resend(
        &self,
        places: &[(i32, i64)],
        registry: &Registry,
    ) -> Result<(), DeadLetterError> {
        let unsettled = self.unsettled().await?;
        let unsettled: HashMap<_, _> = unsettled
            .into_iter()
            .map(|taken| ((taken.partition, taken.offset), taken))
            .collect();
        let producer = producer(&self.connection, self.connection.context())?;
        let mut framing = Framing::new(registry);
        for &(partition, offset) in places {
            let taken = unsettled
                .get(&(partition, offset))
                .ok_or(DeadLetterError::Unknown { partition, offset })?;
            resend_one(&producer, &self.name, taken, &mut framing).await?;
        }
        Ok(())
    }

    /// Reads the whole topic; what is settled is left out.
    async fn unsettled(&self) -> Result<Vec<Taken>, DeadLetterError> {
        let topic = self.clone();
        let read = spawn_blocking(move || reading::read_all(&topic)).await;
        let all = read.map_err(|error| DeadLetterError::Kafka(error.to_string()))??;
        let settled: HashSet<String> = all.iter().filter_map(|t| t.header(SETTLED)).collect();
        let open = all.into_iter().filter(|taken| {
            let place = format!("{}:{}", taken.partition, taken.offset);
            taken.header(SETTLED).is_none() && !settled.contains(&place)
        });
        Ok(open.collect())
    }
}

async fn resend_one(
    producer: &FutureProducer<Context>,
    topic: &str,
    taken: &Taken,
    framing: &mut Framing<'_>,
) -> Result<(), DeadLetterError> {
    let from = taken.header(TOPIC).unwrap_or_default();
    let headers = copied(taken);
    let group = taken.header(GROUP).unwrap_or_default();
    let part = |name| taken.header(name).unwrap_or_default();
    if let Some(bytes) = taken.header(LEFT_OUT) {
        return Err(DeadLetterError::Kafka(format!(
            "the dead letter has no value: its {bytes} bytes were too many, and lie in topic {from}, \
             partition {}, offset {}",
            part(PARTITION),
            part(OFFSET)
        )));
    }
    let anew = framing.anew(taken, &from).await;
    let anew = anew.map_err(DeadLetterError::Kafka)?;
    let origin = format!("{}:{}", part(PARTITION), part(OFFSET));
    let record = FutureRecord::to(&from)
        .key(&taken.key)
        .payload(anew.as_ref().unwrap_or(&taken.value))
        .headers(add(add(headers, RESENT, &group), ORIGIN, &origin));
    let patience = Timeout::After(PATIENCE);
    producer.send(record, patience).await.map_err(|(e, _)| e)?;

    // If this fails the letter stays listed: sending it twice is safe, since consumers know its id.
    let settled = add(
        OwnedHeaders::new(),
        SETTLED,
        &format!("{}:{}", taken.partition, taken.offset),
    );
    let record: FutureRecord<'_, [u8], [u8]> = FutureRecord::to(topic)
        .key(taken.key.as_slice())
        .partition(taken.partition)
        .headers(settled);
    producer.send(record, patience).await.map_err(|(e, _)| e)?;
    Ok(())
}

fn producer(
    connection: &Connection,
    context: Context,
) -> Result<FutureProducer<Context>, SettingsError> {
    let mut config = connection.client_config();
    config
        // Not idempotent: what is fatal then lasts as long as the producer, and a letter twice is harmless.
        .set("acks", "all")
        .set("linger.ms", "0")
        // Of several in one request that is too large all would be refused.
        .set("batch.num.messages", "1")
        .set("message.timeout.ms", PATIENCE.as_millis().to_string())
        .set("message.max.bytes", "16777216")
        .set("topic.metadata.propagation.max.ms", "2000")
        .set("partitioner", "murmur2_random");
    Ok(FutureProducer::from_config_and_context(&config, context)?)
}

fn copied(taken: &Taken) -> OwnedHeaders {
    // A letter that was sent again and parked again tells its newest story only.
    let own = taken
        .headers
        .iter()
        .filter(|(key, _)| !key.starts_with("dead-letter-"));
    own.fold(OwnedHeaders::new(), |headers, (key, value)| {
        let value = Some(value.as_slice());
        headers.insert(Header { key, value })
    })
}

fn add(headers: OwnedHeaders, key: &str, value: &str) -> OwnedHeaders {
    let value = Some(value);
    headers.insert(Header { key, value })
}
