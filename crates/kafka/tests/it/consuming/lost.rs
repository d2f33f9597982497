//! A registry that lost its data: what names a schema by the id that it had before.

use std::sync::Arc;

use anyhow::Result;
use sso_events::EventSink;
use sso_kafka::wire;
use sso_testkit::servers::{kafka::Kafka, registry::Registry};

use super::{Notes, Running, dead_letter_topic, dead_letters, topics};
use crate::support::{TOPIC, client, event, eventually, id, sink};

const FIRST: &str = "syntax = \"proto3\"; message First { string a = 1; }";
const SECOND: &str = "syntax = \"proto3\"; message Second { string a = 1; }";

/// Delivers one event by a sink that knows no id yet.
async fn deliver(kafka: &Kafka, registry: &Registry, number: u128) -> Result<()> {
    let event = event(id(number), id(100 + number));
    assert_eq!(sink(kafka, registry)?.deliver(&[event]).await, [Ok(())]);
    Ok(())
}

/// The ids of schemas in the topic's values.
async fn named(kafka: &Kafka) -> Result<Vec<u32>> {
    let records = kafka.consume_all(TOPIC).await?;
    let values = records.iter().filter_map(|record| record.value.as_deref());
    Ok(values
        .map(|value| wire::unframe(value).unwrap().schema)
        .collect())
}

#[tokio::test]
async fn an_event_whose_schema_is_lost_is_sent_again_with_the_id_of_today() -> Result<()> {
    let (kafka, registry) = topics(1).await?;
    registry.register("first-value", FIRST)?;
    registry.register("second-value", SECOND)?;
    deliver(&kafka, &registry, 1).await?;
    registry.lose_data()?;
    deliver(&kafka, &registry, 2).await?;
    registry.lose_data()?;
    registry.register("first-value", FIRST)?;
    deliver(&kafka, &registry, 3).await?;
    // Whoever it is from, nothing but its frame says that it is ours.
    let stranger = wire::frame(3, &event(id(4), id(104)).payload);
    kafka.produce(TOPIC, b"a", &stranger, &[]).await?;
    assert_eq!(named(&kafka).await?, [3, 1, 2, 3]);

    let notes = Arc::new(Notes::default());
    let running = Running::start(&kafka, &registry, &notes)?;
    eventually("what is lost is parked", async || {
        Ok(dead_letters(&kafka).await?.len() == 3)
    })
    .await?;
    let letters = dead_letters(&kafka).await?;
    let mut reasons: Vec<_> = letters.iter().map(|letter| &*letter.reason).collect();
    reasons.sort_unstable();
    assert_eq!(
        reasons,
        [
            "schema 1 is of First, not of Registration.v1.RegistrationMessage",
            "the schema registry does not know schema 3",
            "the schema registry does not know schema 3",
        ]
    );
    let places: Vec<_> = letters
        .iter()
        .map(|letter| (letter.partition, letter.offset))
        .collect();
    let registry_of_today = client(&registry)?;
    dead_letter_topic(&kafka)
        .resend(&places, &registry_of_today)
        .await?;
    eventually("all events are handled", async || Ok(notes.count() == 3)).await?;
    let mut sent = named(&kafka).await?.split_off(4);
    sent.sort_unstable();
    assert_eq!(sent, [2, 2, 3], "the stranger's goes as it was");
    eventually("the stranger's is parked again", async || {
        Ok(dead_letters(&kafka).await?.len() == 1)
    })
    .await?;
    running.stop().await
}

#[tokio::test]
async fn nothing_is_framed_anew_before_the_registry_has_our_schema_again() -> Result<()> {
    let (kafka, registry) = topics(1).await?;
    deliver(&kafka, &registry, 1).await?;
    registry.lose_data()?;
    let notes = Arc::new(Notes::default());
    let running = Running::start(&kafka, &registry, &notes)?;
    eventually("it is parked", async || {
        Ok(dead_letters(&kafka).await?.len() == 1)
    })
    .await?;
    let letter = dead_letters(&kafka).await?.remove(0);
    let place = [(letter.partition, letter.offset)];
    let registry_of_today = client(&registry)?;
    let sent = dead_letter_topic(&kafka)
        .resend(&place, &registry_of_today)
        .await;
    let why = sent.unwrap_err().to_string();
    assert!(
        why.contains("under the subject registration-value"),
        "{why}"
    );
    assert_eq!(dead_letters(&kafka).await?, [letter]);
    running.stop().await
}
