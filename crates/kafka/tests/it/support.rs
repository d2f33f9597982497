//! What these tests share.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result, bail};
use sso_events::{
    DeliveryError, Envelope, EventSink, REGISTRATION, Registered, encode_registration,
};
use sso_kafka::{
    Compression, Connection, KafkaSink, Sasl, SinkSettings, Tls,
    registry::{Registry, RegistrySettings},
};
use sso_testkit::servers::{kafka::Kafka, registry};
use time::macros::datetime;
use tokio::time::Instant;
use uuid::Uuid;

pub(crate) use sso_testkit::patience::eventually;

pub(crate) const TOPIC: &str = "registration";

/// The id of a number.
pub(crate) fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

/// The event `id` of the user `key`.
pub(crate) fn event(id: Uuid, key: Uuid) -> Envelope {
    let payload = encode_registration(&Registered {
        event_id: id,
        user_id: key,
        email: "alice@example.com",
        name: Some("Alice"),
        at: datetime!(2026-01-02 03:04:05 UTC),
    });
    Envelope {
        id,
        key,
        kind: REGISTRATION.to_owned(),
        payload,
        traceparent: None,
        tracestate: None,
    }
}

/// Many events of as many users.
pub(crate) fn events(numbers: std::ops::Range<u128>) -> Vec<Envelope> {
    numbers
        .map(|number| event(id(number), id(1_000_000 + number)))
        .collect()
}

pub(crate) fn connection(brokers: &str) -> Connection {
    Connection {
        brokers: vec![brokers.to_owned()],
        client_id: "test".to_owned(),
        tls: None,
        sasl: None,
    }
}

/// By the listener with TLS and SASL.
pub(crate) fn secure(kafka: &Kafka, sasl: Sasl) -> Result<Connection> {
    Ok(Connection {
        tls: Some(Tls {
            ca: Some(kafka.authority()),
            identity: None,
        }),
        sasl: Some(sasl),
        ..connection(&kafka.secure_brokers()?)
    })
}

pub(crate) fn settings(connection: Connection) -> SinkSettings {
    SinkSettings {
        connection,
        topic: TOPIC.to_owned(),
        delivery_timeout: Duration::from_secs(3),
        compression: Compression::None,
        max_record: 1_000_000,
    }
}

pub(crate) fn registry_settings(url: &str) -> RegistrySettings {
    RegistrySettings {
        urls: vec![url.to_owned()],
        credentials: None,
        ca: None,
        patience: Duration::from_secs(2),
    }
}

pub(crate) fn client(registry: &registry::Registry) -> Result<Arc<Registry>> {
    Ok(Arc::new(Registry::new(&registry_settings(
        &registry.url(),
    ))?))
}

/// A sink to the topic of this cluster.
pub(crate) fn sink(kafka: &Kafka, registry: &registry::Registry) -> Result<KafkaSink> {
    let settings = settings(connection(&kafka.brokers()));
    Ok(KafkaSink::new(settings, client(registry)?)?)
}

/// Delivers until the sink takes all, as a relay would.
pub(crate) async fn deliver_all(sink: &KafkaSink, events: &[Envelope]) -> Result<()> {
    let started = Instant::now();
    let mut left = events.to_vec();
    while !left.is_empty() {
        if started.elapsed() > Duration::from_mins(1) {
            bail!("{} events are not delivered within a minute", left.len());
        }
        let reports = sink.deliver(&left).await;
        let mut reports = reports.into_iter();
        left.retain(|_| reports.next().is_some_and(|report| report.is_err()));
    }
    Ok(())
}

/// Why the only event of a batch did not reach anybody.
pub(crate) async fn unreachable(sink: &KafkaSink) -> Result<String> {
    match sink
        .deliver(&events(0..1))
        .await
        .pop()
        .context("no report")?
    {
        Err(DeliveryError::Unreachable(why)) => Ok(why),
        other => bail!("{other:?}"),
    }
}
