//! What tests ask a cluster for, by a client of their own.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rdkafka::{
    ClientConfig, ClientContext, Message, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    config::{FromClientConfig, FromClientConfigAndContext, RDKafkaLogLevel},
    consumer::{BaseConsumer, Consumer, ConsumerContext},
    error::{KafkaError, RDKafkaErrorCode},
    message::{Header, Headers, OwnedHeaders},
    producer::{BaseRecord, Producer, ThreadedProducer},
};
use tokio::task::spawn_blocking;

use crate::servers::wait::eventually;

/// How long a cluster may take for anything.
const PATIENCE: Duration = Duration::from_mins(1);
/// One question.
const QUESTION: Duration = Duration::from_secs(2);

/// A record as it lies in a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value.
    pub value: Option<Vec<u8>>,
    /// Its headers, in their order.
    pub headers: Vec<(String, Vec<u8>)>,
}

impl Record {
    /// The first header of this name, as text.
    pub fn header(&self, name: &str) -> Option<String> {
        let found = self.headers.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| String::from_utf8_lossy(value).into_owned())
    }
}

/// A partition as the cluster describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Partition {
    pub(super) leader: i32,
    pub(super) in_sync: usize,
}

/// Keeps librdkafka's opinion of brokers that a test has killed to itself.
pub(super) struct Silent;

impl ClientContext for Silent {
    fn log(&self, _: RDKafkaLogLevel, _: &str, _: &str) {}
    fn error(&self, _: KafkaError, _: &str) {}
}

impl ConsumerContext for Silent {}

pub(super) fn settings(brokers: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", brokers)
        .set("reconnect.backoff.ms", "20")
        .set("reconnect.backoff.max.ms", "200");
    config
}

fn reader(brokers: &str) -> Result<BaseConsumer<Silent>> {
    let mut config = settings(brokers);
    config
        .set("group.id", "testkit")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "false")
        .set("auto.offset.reset", "earliest");
    Ok(BaseConsumer::from_config_and_context(&config, Silent)?)
}

/// Fails unless this many brokers are listed.
pub(super) async fn listed(brokers: &str, count: usize) -> Result<()> {
    let brokers = brokers.to_owned();
    spawn_blocking(move || {
        let seen = reader(&brokers)?.fetch_metadata(None, QUESTION)?;
        let found = seen.brokers().len();
        ensure!(found >= count, "{found} of {count} brokers are there");
        Ok(())
    })
    .await?
}

/// The partitions of a topic; none, if it does not exist.
pub(super) fn partitions(brokers: &str, topic: &str) -> Result<Vec<Partition>> {
    let seen = reader(brokers)?.fetch_metadata(Some(topic), QUESTION)?;
    let found = seen.topics().first().context("no such topic")?;
    Ok(found
        .partitions()
        .iter()
        .map(|partition| Partition {
            leader: partition.leader(),
            in_sync: partition.isr().len(),
        })
        .collect())
}

/// Waits until every partition of a topic has a leader and this many replicas in sync.
pub(super) async fn await_in_sync(brokers: &str, topic: &str, count: usize) -> Result<()> {
    eventually("all replicas in sync", PATIENCE, async || {
        let (brokers, topic) = (brokers.to_owned(), topic.to_owned());
        let found = spawn_blocking(move || partitions(&brokers, &topic)).await??;
        let in_sync = |partition: &Partition| partition.leader >= 0 && partition.in_sync >= count;
        ensure!(!found.is_empty() && found.iter().all(in_sync), "{found:?}");
        Ok(())
    })
    .await
}

pub(super) async fn create_topic(
    brokers: &str,
    name: &str,
    partitions: i32,
    replicas: i32,
    settings_of_topic: &[(&str, &str)],
) -> Result<()> {
    let admin = AdminClient::from_config(&settings(brokers))?;
    let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(replicas));
    for (key, value) in settings_of_topic {
        topic = topic.set(key, value);
    }
    let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
    for created in admin.create_topics([&topic], &options).await? {
        match created {
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((topic, error)) => bail!("{topic}: {error}"),
        }
    }
    await_in_sync(brokers, name, usize::try_from(replicas)?).await
}

pub(super) async fn delete_topic(brokers: &str, name: &str) -> Result<()> {
    let admin = AdminClient::from_config(&settings(brokers))?;
    let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
    for deleted in admin.delete_topics(&[name], &options).await? {
        deleted.map_err(|(topic, error)| anyhow::anyhow!("{topic}: {error}"))?;
    }
    Ok(())
}

/// All records of a topic that are there now, partition after partition.
pub(super) fn consume_all(brokers: &str, topic: &str) -> Result<Vec<Record>> {
    let consumer = reader(brokers)?;
    let mut assignment = TopicPartitionList::new();
    let (mut ends, mut left) = (Vec::new(), 0);
    let count = partitions(brokers, topic)?.len();
    for partition in 0..i32::try_from(count)? {
        let (low, high) = consumer.fetch_watermarks(topic, partition, PATIENCE)?;
        assignment.add_partition_offset(topic, partition, Offset::Beginning)?;
        left += usize::from(high > low);
        ends.push((low, high));
    }
    consumer.assign(&assignment)?;
    let mut records = Vec::new();
    while left > 0 {
        let Some(message) = consumer.poll(PATIENCE) else {
            bail!("{topic} cannot be read to its end");
        };
        let message = message?;
        let (partition, offset) = (message.partition(), message.offset());
        let end = ends[usize::try_from(partition)?].1;
        if offset < end {
            records.push(record(&message));
        }
        left -= usize::from(offset + 1 == end);
    }
    records.sort_by_key(|record| (record.partition, record.offset));
    Ok(records)
}

fn record(message: &impl Message) -> Record {
    let mut headers = Vec::new();
    if let Some(found) = message.headers() {
        headers.extend(found.iter().map(|header| {
            let value = header.value.unwrap_or_default().to_vec();
            (header.key.to_owned(), value)
        }));
    }
    Record {
        partition: message.partition(),
        offset: message.offset(),
        key: message.key().map(<[u8]>::to_vec),
        value: message.payload().map(<[u8]>::to_vec),
        headers,
    }
}

/// Writes one record and waits until it is acknowledged.
pub(in crate::servers) fn produce_blocking(
    brokers: &str,
    topic: &str,
    key: &[u8],
    value: &[u8],
    headers: &[(&str, &str)],
) -> Result<()> {
    let mut config = settings(brokers);
    config.set("acks", "all").set("linger.ms", "0");
    let producer = ThreadedProducer::<Silent>::from_config_and_context(&config, Silent)?;
    let mut all = OwnedHeaders::new();
    for (key, value) in headers {
        all = all.insert(Header {
            key,
            value: Some(*value),
        });
    }
    let mut record = BaseRecord::to(topic).payload(value).headers(all);
    if !key.is_empty() {
        record = record.key(key);
    }
    producer.send(record).map_err(|(error, _)| error)?;
    producer.flush(PATIENCE)?;
    ensure!(producer.in_flight_count() == 0, "it is not acknowledged");
    Ok(())
}

impl rdkafka::producer::ProducerContext for Silent {
    type DeliveryOpaque = ();

    fn delivery(&self, _: &rdkafka::producer::DeliveryResult<'_>, (): ()) {}
}
