//! What arrives in the topic, and what the sink says of what does not.

use anyhow::{Context, Result};
use prost::Message;
use sso_events::{DeliveryError, EventSink, registration::RegistrationMessage};
use sso_kafka::{REGISTRATION_SCHEMA, wire};
use sso_testkit::servers::{kafka::Kafka, registry::Registry};

use crate::support::{TOPIC, event, events, id, sink};

#[tokio::test]
async fn an_event_arrives_in_the_wire_format_with_its_key_and_headers() -> Result<()> {
    let kafka = Kafka::start().await?;
    kafka.create_topic(TOPIC, 3).await?;
    let registry = Registry::start(&kafka).await?;
    let sink = sink(&kafka, &registry)?;
    let mut one = event(id(1), id(2));
    one.traceparent = Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into());
    one.tracestate = Some("a=b".into());
    assert_eq!(sink.deliver(std::slice::from_ref(&one)).await, [Ok(())]);

    let records = kafka.consume_all(TOPIC).await?;
    assert_eq!(records.len(), 1);
    let record = &records[0];
    assert_eq!(record.key.as_deref(), Some(id(2).to_string().as_bytes()));
    let headers: Vec<_> = record
        .headers
        .iter()
        .map(|(key, value)| (&**key, std::str::from_utf8(value).unwrap()))
        .collect();
    assert_eq!(
        headers,
        [
            ("traceparent", one.traceparent.as_deref().unwrap()),
            ("tracestate", "a=b"),
            ("event-id", "00000000-0000-0000-0000-000000000001"),
            ("content-type", "application/x-protobuf"),
        ]
    );
    let value = record.value.as_deref().context("no value")?;
    assert_eq!(value[..6], [0, 0, 0, 0, 1, 0], "magic, id 1, first message");
    let framed = wire::unframe(value)?;
    assert_eq!(framed.message, one.payload);
    let message = RegistrationMessage::decode(framed.message)?;
    assert_eq!(message.email, "alice@example.com");
    assert_eq!(
        registry.schemas("registration-value"),
        [REGISTRATION_SCHEMA]
    );
    assert_eq!(registry.level("registration-value"), "BACKWARD_TRANSITIVE");
    Ok(())
}

#[tokio::test]
async fn a_record_too_large_is_refused_alone_and_holds_back_its_key() -> Result<()> {
    let kafka = Kafka::start().await?;
    kafka
        .create_topic_with(TOPIC, 1, &[("max.message.bytes", "2000")])
        .await?;
    let registry = Registry::in_memory()?;
    let sink = sink(&kafka, &registry)?;
    // One request takes them all, and the broker refuses the whole of it.
    let mut batch = events(0..5);
    let mut large = RegistrationMessage::decode(&*batch[2].payload)?;
    large.full_name = "x".repeat(3000);
    batch[2].payload = large.encode_to_vec();
    batch.push(event(id(6), batch[2].key));
    batch.push(event(id(7), batch[0].key));
    let reports = sink.deliver(&batch).await;
    let Err(DeliveryError::Refused(why)) = &reports[2] else {
        panic!("{reports:?}");
    };
    assert!(
        why.contains("larger than topic registration takes"),
        "{why}"
    );
    assert_eq!(reports[5], Err(DeliveryError::HeldBack));
    for at in [0, 1, 3, 4, 6] {
        assert_eq!(reports[at], Ok(()), "{at}");
    }
    assert_eq!(kafka.consume_all(TOPIC).await?.len(), 5);

    // So does one that not even librdkafka takes.
    large.full_name = "x".repeat(2_000_000);
    batch[2].payload = large.encode_to_vec();
    let reports = sink.deliver(&batch[2..3]).await;
    assert!(
        matches!(&reports[..], [Err(DeliveryError::Refused(_))]),
        "{reports:?}"
    );
    Ok(())
}

#[tokio::test]
async fn what_is_of_no_schema_is_refused() -> Result<()> {
    let kafka = Kafka::start().await?;
    kafka.create_topic(TOPIC, 1).await?;
    let registry = Registry::in_memory()?;
    let sink = sink(&kafka, &registry)?;
    let mut batch = events(0..3);
    batch[0].kind = "departure".into();
    batch[1].payload = b"\xff\xff".to_vec();
    let reports = sink.deliver(&batch).await;
    assert!(matches!(&reports[0], Err(DeliveryError::Refused(why)) if why.contains("departure")));
    assert!(matches!(&reports[1], Err(DeliveryError::Refused(_))));
    assert_eq!(reports[2], Ok(()));
    Ok(())
}

/// librdkafka puts into one request what there is, and brokers refuse all of it.
#[tokio::test]
async fn what_is_refused_in_the_company_of_another_delivery_is_not_blamed() -> Result<()> {
    let kafka = Kafka::start().await?;
    let limit = [("max.message.bytes", "500")];
    kafka.create_topic_with(TOPIC, 1, &limit).await?;
    let registry = Registry::in_memory()?;
    let sink = sink(&kafka, &registry)?;
    let mut large = event(id(1), id(2));
    large.traceparent = Some("x".repeat(600));
    let large = [large];
    for number in 0..20 {
        let good = [event(id(100 + number), id(200 + number))];
        let (refused, taken) = tokio::join!(sink.deliver(&large), sink.deliver(&good));
        assert!(
            matches!(refused[..], [Err(DeliveryError::Refused(_))]),
            "{refused:?}"
        );
        assert_eq!(taken, [Ok(())], "{number}");
    }
    Ok(())
}
