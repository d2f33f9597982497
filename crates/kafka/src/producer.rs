//! One producer of librdkafka: idempotent, every report awaited.

use std::time::Duration;

use rdkafka::{
    ClientConfig,
    config::FromClientConfigAndContext,
    error::{KafkaError, RDKafkaErrorCode as Code},
    message::{Header, OwnedHeaders},
    metadata::MetadataTopic,
    producer::{DeliveryFuture, FutureProducer, FutureRecord, Producer},
};
use sso_events::failpoint::{self, Step};
use tokio::time::{Instant, sleep, timeout_at};
use tracing::Span;

use crate::{
    Compression, SettingsError, SinkSettings,
    context::Context,
    metrics,
    sink::Outgoing,
    traces,
    verdict::{self, Reason, Verdict},
};

/// Most records that wait in librdkafka, of all who deliver at once.
const QUEUE: &str = "10000";
/// The same in KiB.
const QUEUE_KIB: &str = "65536";
/// Most records given to librdkafka before their reports are awaited.
const AT_ONCE: usize = 4000;
/// Pause while its queue is full.
const FULL: Duration = Duration::from_millis(20);
/// Reports are there that much after `delivery_timeout`, or the producer is broken.
const GRACE: Duration = Duration::from_secs(5);

impl SinkSettings {
    /// What the producer is made with; also for whoever measures it alone.
    pub fn producer_config(&self) -> ClientConfig {
        let mut config = self.connection.client_config();
        let compression = match self.compression {
            Compression::None => "none",
            Compression::Lz4 => "lz4",
            Compression::Zstd => "zstd",
            Compression::Gzip => "gzip",
        };
        config
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("linger.ms", "2")
            .set("compression.type", compression)
            .set("request.timeout.ms", "3000")
            .set(
                "message.timeout.ms",
                self.delivery_timeout.as_millis().to_string(),
            )
            .set("message.max.bytes", self.max_record.to_string())
            .set("queue.buffering.max.messages", QUEUE)
            .set("queue.buffering.max.kbytes", QUEUE_KIB)
            // A topic that is missing is told soon: the event waits, and tries again.
            .set("topic.metadata.propagation.max.ms", "2000")
            // As Java's producers do, so that a key has one partition whoever writes.
            .set("partitioner", "murmur2_random");
        config
    }
}

/// A producer and what it has told.
pub(crate) struct Live {
    pub(crate) producer: FutureProducer<Context>,
    context: Context,
}

impl std::fmt::Debug for Live {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Live(..)")
    }
}

impl Live {
    pub(crate) fn new(settings: &SinkSettings) -> Result<Self, SettingsError> {
        let config = settings.producer_config();
        let context = settings.connection.context();
        let producer = FutureProducer::from_config_and_context(&config, context.clone())?;
        metrics::producer_made();
        Ok(Self { producer, context })
    }

    /// Whether the topic is there. Blocks, at most for `patience`.
    pub(crate) fn look(&self, topic: &str, patience: Duration) -> Result<(), Verdict> {
        let fatal = self.producer.client().fatal_error();
        if let Some((code, reason)) = fatal {
            return Err(verdict::of_code(code, topic, &reason));
        }
        let seen = self.producer.client().fetch_metadata(Some(topic), patience);
        let seen = seen.map_err(|error| verdict::judge(&error, topic, 0, &self.context))?;
        self.context.well();
        let error = seen.topics().iter().find_map(MetadataTopic::error);
        match error {
            Some(error) => {
                let code = Code::from(error);
                Err(verdict::of_code(code, topic, &code.to_string()))
            }
            None => Ok(()),
        }
    }

    /// Sends records of different keys, and waits for all reports, given in the same order.
    pub(crate) async fn send(
        &self,
        records: &[&Outgoing<'_>],
        settings: &SinkSettings,
    ) -> Vec<Result<(), Verdict>> {
        let mut reports = Vec::with_capacity(records.len());
        for records in records.chunks(AT_ONCE) {
            let sent = self.send_at_once(records, settings).await;
            for (record, report) in records.iter().zip(sent) {
                reports.push(match report {
                    // One too large in a request, and all of the request are refused.
                    Err(error) if records.len() > 1 && verdict::blames_the_batch(&error) => {
                        let again = self.send_at_once(&[record], settings).await;
                        again.into_iter().try_for_each(|report| report)
                    }
                    report => report,
                });
            }
        }
        let judged = records.iter().zip(reports).map(|(record, report)| {
            report.map_err(|error| self.judge(&error, record, &settings.topic))
        });
        judged.collect()
    }

    fn judge(&self, error: &KafkaError, record: &Outgoing<'_>, topic: &str) -> Verdict {
        let fatal = self.producer.client().fatal_error();
        if let Some((code, reason)) = fatal {
            let verdict = verdict::of_code(code, topic, &reason);
            return Verdict {
                reason: match verdict.reason {
                    Reason::Other => Reason::Fatal,
                    reason => reason,
                },
                ..verdict
            };
        }
        verdict::judge(error, topic, record.value.len(), &self.context)
    }

    async fn send_at_once(
        &self,
        records: &[&Outgoing<'_>],
        settings: &SinkSettings,
    ) -> Vec<Result<(), KafkaError>> {
        let deadline = Instant::now() + settings.delivery_timeout + GRACE;
        let mut queued = Vec::with_capacity(records.len());
        for record in records {
            let span = traces::send(record.event, &settings.topic);
            let queued_as = self.enqueue(record, settings, deadline, &span).await;
            queued.push((span, queued_as));
        }
        failpoint::passed(Step::Sent);
        let mut reports = Vec::with_capacity(queued.len());
        for (span, queued) in queued {
            let report = match queued {
                Ok(queued) => self.report(queued, deadline).await,
                Err(error) => Err(error),
            };
            reports.push(traces::ended(&span, report));
        }
        if reports.iter().any(Result::is_ok) {
            self.context.well();
        }
        reports
    }

    /// What became of one record.
    async fn report(&self, queued: DeliveryFuture, deadline: Instant) -> Result<(), KafkaError> {
        match timeout_at(deadline, queued).await {
            Ok(Ok(Ok(_))) => Ok(()),
            Ok(Ok(Err((error, _)))) => Err(error),
            // The producer is gone, or does not do what it promises.
            Ok(Err(_)) | Err(_) => Err(KafkaError::MessageProduction(Code::MessageTimedOut)),
        }
    }

    async fn enqueue(
        &self,
        outgoing: &Outgoing<'_>,
        settings: &SinkSettings,
        deadline: Instant,
        span: &Span,
    ) -> Result<DeliveryFuture, KafkaError> {
        let mut record = FutureRecord::to(&settings.topic)
            .key(&outgoing.key)
            .payload(&outgoing.value)
            .headers(headers(outgoing, span));
        loop {
            match self.producer.send_result(record) {
                Ok(report) => return Ok(report),
                Err((KafkaError::MessageProduction(Code::QueueFull), back))
                    if Instant::now() < deadline =>
                {
                    record = back;
                    sleep(FULL).await;
                }
                Err((error, _)) => return Err(error),
            }
        }
    }
}

fn headers(outgoing: &Outgoing<'_>, span: &Span) -> OwnedHeaders {
    let event = outgoing.event;
    let (traceparent, tracestate) = traces::carried(event, span);
    let id = event.id.to_string();
    let mut headers = OwnedHeaders::new_with_capacity(4);
    let mut add = |key, value: &str| {
        let all = std::mem::replace(&mut headers, OwnedHeaders::new_with_capacity(0));
        headers = all.insert(Header {
            key,
            value: Some(value),
        });
    };
    if let Some(parent) = &traceparent {
        add("traceparent", parent);
    }
    if let Some(state) = &tracestate {
        add("tracestate", state);
    }
    add("event-id", &id);
    add("content-type", "application/x-protobuf");
    headers
}
