//! Reads a dead-letter topic from its beginning to its end.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use rdkafka::{
    Offset, TopicPartitionList,
    config::FromClientConfigAndContext,
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, KafkaResult, RDKafkaErrorCode},
    metadata::{MetadataPartition, MetadataTopic},
};

use super::{
    Taken,
    dead_letter::{DeadLetterError, DeadLetterTopic, PATIENCE},
    membership::Membership,
};
use crate::verdict;

/// How long brokers may take for one try of a question: as long as a socket of theirs.
const TRY: Duration = Duration::from_secs(3);
/// How long what waits for us is served between tries.
const SERVE: Duration = Duration::from_millis(20);

/// All records that are there now, by partition and offset. Blocks.
pub(super) fn read_all(from: &DeadLetterTopic) -> Result<Vec<Taken>, DeadLetterError> {
    let reader = Reader::new(from)?;
    let mut ends = reader.ends()?;
    if ends.is_empty() {
        return Ok(Vec::new());
    }
    let mut assignment = TopicPartitionList::new();
    for partition in ends.keys() {
        assignment.add_partition_offset(&from.name, *partition, Offset::Beginning)?;
    }
    reader.consumer.assign(&assignment)?;
    let mut all = Vec::new();
    while !ends.is_empty() {
        let taken = reader.record()?;
        if let Some(end) = ends.get(&taken.partition) {
            if taken.offset + 1 >= *end {
                ends.remove(&taken.partition);
            }
            all.push(taken);
        }
    }
    all.sort_by_key(|taken| (taken.partition, taken.offset));
    Ok(all)
}

struct Reader<'a> {
    from: &'a DeadLetterTopic,
    consumer: BaseConsumer<Membership>,
}

impl<'a> Reader<'a> {
    fn new(from: &'a DeadLetterTopic) -> Result<Self, DeadLetterError> {
        let mut config = from.connection.client_config();
        config
            .set("group.id", &from.group)
            .set("enable.auto.commit", "false")
            .set("auto.offset.reset", "earliest")
            .set("enable.partition.eof", "false");
        let membership = Membership::new(from.connection.context());
        let consumer = BaseConsumer::from_config_and_context(&config, membership)?;
        Ok(Self { from, consumer })
    }

    /// Where each partition ends that is not empty.
    fn ends(&self) -> Result<HashMap<i32, i64>, DeadLetterError> {
        let topic = &*self.from.name;
        let metadata = self.ask(|patience| self.consumer.fetch_metadata(Some(topic), patience))?;
        if let Some(error) = metadata.topics().iter().find_map(MetadataTopic::error) {
            let code = RDKafkaErrorCode::from(error);
            let why = verdict::of_code(code, topic, &code.to_string()).sentence();
            return Err(DeadLetterError::Kafka(why));
        }
        let partitions = metadata.topics().iter().flat_map(MetadataTopic::partitions);
        let mut ends = HashMap::new();
        for partition in partitions.map(MetadataPartition::id) {
            let (first, end) =
                self.ask(|patience| self.consumer.fetch_watermarks(topic, partition, patience))?;
            if end > first {
                ends.insert(partition, end);
            }
        }
        Ok(ends)
    }

    /// Asks until brokers answer. librdkafka wants a token (RFC 7628) only while its consumer is polled, and
    /// connects to nobody without one: it is polled before each try. Nothing is assigned then, so that
    /// no record is lost on it.
    fn ask<T>(&self, question: impl Fn(Duration) -> KafkaResult<T>) -> Result<T, DeadLetterError> {
        let begun = Instant::now();
        loop {
            self.serve()?;
            match question(TRY) {
                Ok(answer) => return Ok(answer),
                Err(error) if is_of_a_connection(&error) && begun.elapsed() < PATIENCE => {}
                Err(error) => return Err(self.told(&error)),
            }
        }
    }

    /// Whether we may read may be told here, and once only.
    fn serve(&self) -> Result<(), DeadLetterError> {
        let Some(Err(error)) = self.consumer.poll(SERVE) else {
            return Ok(());
        };
        let refused = verdict::of_reader(&error, &self.from.name, &self.from.group);
        refused.map_or(Ok(()), |why| Err(DeadLetterError::Kafka(why)))
    }

    /// The next one.
    fn record(&self) -> Result<Taken, DeadLetterError> {
        let begun = Instant::now();
        loop {
            match self.consumer.poll(PATIENCE) {
                Some(Ok(message)) => return Ok(Taken::of(&message)),
                // Of one broker of several.
                Some(Err(error)) if is_of_a_connection(&error) && begun.elapsed() < PATIENCE => {}
                Some(Err(error)) => return Err(self.told(&error)),
                None => {
                    let topic = &self.from.name;
                    let why = format!("topic {topic} cannot be read to its end");
                    return Err(DeadLetterError::Kafka(why));
                }
            }
        }
    }

    /// Why no broker answers, the connections may have told.
    fn told(&self, error: &KafkaError) -> DeadLetterError {
        let (topic, group) = (&*self.from.name, &*self.from.group);
        let refused = verdict::of_reader(error, topic, group);
        DeadLetterError::Kafka(refused.unwrap_or_else(|| {
            let connections = self.consumer.context().connections();
            verdict::judge(error, topic, 0, connections).sentence()
        }))
    }
}

fn is_of_a_connection(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::AllBrokersDown
                | RDKafkaErrorCode::Resolve
                | RDKafkaErrorCode::OperationTimedOut
        )
    )
}
