//! Brokers and registry that are away, hang, or refuse us.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result};
use sso_config::remote::Credential;
use sso_events::EventSink;
use sso_kafka::{
    KafkaSink,
    registry::{Credentials, Registry as Client},
};
use sso_testkit::servers::{kafka::Kafka, registry::Registry};
use uuid::Uuid;

use crate::support::{
    TOPIC, connection, deliver_all, events, eventually, registry_settings, settings, sink,
    unreachable,
};

fn ids(records: &[sso_testkit::servers::kafka::Record]) -> Vec<Uuid> {
    let id = |record: &sso_testkit::servers::kafka::Record| {
        Uuid::parse_str(&record.header("event-id").unwrap()).unwrap()
    };
    records.iter().map(id).collect()
}

#[tokio::test]
async fn brokers_that_are_away_are_no_fault_of_the_event() -> Result<()> {
    let mut kafka = Kafka::start().await?;
    kafka.create_topic(TOPIC, 1).await?;
    let registry = Registry::in_memory()?;
    let sink = sink(&kafka, &registry)?;
    kafka.kill_all();
    let why = unreachable(&sink).await?;
    assert!(why.contains("no broker"), "{why}");
    assert!(sink.look().await.kafka.is_some());
    kafka.start_all().await?;
    let batch = events(0..20);
    deliver_all(&sink, &batch).await?;
    let mut seen = ids(&kafka.consume_all(TOPIC).await?);
    seen.dedup();
    seen.sort();
    seen.dedup();
    assert_eq!(seen, batch.iter().map(|event| event.id).collect::<Vec<_>>());
    eventually("it looks well again", async || {
        Ok(sink.look().await.kafka.is_none())
    })
    .await
}

#[tokio::test]
async fn a_registry_that_is_away_is_no_fault_of_the_event() -> Result<()> {
    let kafka = Kafka::start().await?;
    kafka.create_topic(TOPIC, 1).await?;
    let mut registry = Registry::in_memory()?;
    let sink = sink(&kafka, &registry)?;
    registry.go_away();
    let why = unreachable(&sink).await?;
    assert!(why.contains("the schema registry does not answer"), "{why}");
    registry.come_back()?;
    registry.fail(Some(500));
    assert!(unreachable(&sink).await?.contains("500"));
    registry.fail(None);
    registry.require_basic("somebody", "else");
    assert!(
        unreachable(&sink)
            .await?
            .contains("refuses our credentials")
    );
    assert!(sink.look().await.registry.is_some());
    assert!(kafka.consume_all(TOPIC).await?.is_empty());

    // Once its id is known the registry is not asked any more.
    registry.require_bearer("t");
    let mut known = registry_settings(&registry.url());
    known.credentials = Some(Credentials::Bearer(Credential::new("t")));
    let sink = KafkaSink::new(
        settings(connection(&kafka.brokers())),
        Arc::new(Client::new(&known)?),
    )?;
    deliver_all(&sink, &events(0..1)).await?;
    registry.go_away();
    assert_eq!(sink.deliver(&events(1..2)).await, [Ok(())]);
    Ok(())
}

#[tokio::test]
async fn a_registry_that_lost_its_data_gets_the_schema_again() -> Result<()> {
    let kafka = Kafka::start().await?;
    kafka.create_topic(TOPIC, 1).await?;
    let registry = Registry::start(&kafka).await?;
    let sink = sink(&kafka, &registry)?;
    assert_eq!(sink.deliver(&events(0..1)).await, [Ok(())]);
    registry.lose_data()?;
    let other = registry.register("other-value", "syntax = \"proto3\"; message Other {}")?;
    assert_eq!(other, 1, "the id is given to somebody else");
    assert_eq!(sink.look().await.registry, None);
    assert_eq!(registry.schemas("registration-value").len(), 1);
    assert_eq!(registry.level("registration-value"), "BACKWARD_TRANSITIVE");
    assert_eq!(sink.deliver(&events(1..2)).await, [Ok(())]);
    let records = kafka.consume_all(TOPIC).await?;
    let value = records[1].value.as_deref().context("no value")?;
    assert_eq!(value[..6], [0, 0, 0, 0, 2, 0], "the new id");

    // What it keeps lies in the topic: another one starts with it.
    let again = Registry::start(&kafka).await?;
    assert_eq!(
        again.schemas("registration-value"),
        registry.schemas("registration-value")
    );
    Ok(())
}

#[tokio::test]
async fn a_schema_that_may_not_follow_is_told_and_the_events_wait() -> Result<()> {
    let kafka = Kafka::start().await?;
    kafka.create_topic(TOPIC, 1).await?;
    let registry = Registry::in_memory()?;
    let foreign = "syntax = \"proto3\"; package Registration.v1;
        message RegistrationMessage { int64 Email = 1; }";
    registry.register("registration-value", foreign)?;
    let sink = sink(&kafka, &registry)?;
    let why = unreachable(&sink).await?;
    assert!(why.contains("refuses the schema as incompatible"), "{why}");
    assert!(
        sink.examine()
            .await
            .registry
            .is_some_and(|why| why.contains("incompatible"))
    );
    Ok(())
}

#[tokio::test]
async fn three_brokers_lose_nothing_when_the_leader_dies_hangs_and_all_start_again() -> Result<()> {
    let mut kafka = Kafka::start_three().await?;
    kafka.create_topic(TOPIC, 1).await?;
    let registry = Registry::in_memory()?;
    let sink = Arc::new(sink(&kafka, &registry)?);
    let relay = {
        let sink = Arc::clone(&sink);
        // Ten users with forty events each, in order for each of them.
        tokio::spawn(async move {
            for round in 0..40_u128 {
                let mut batch = events(round * 10..round * 10 + 10);
                for (user, event) in (0..).zip(&mut batch) {
                    event.key = Uuid::from_u128(user);
                }
                deliver_all(&sink, &batch).await?;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            anyhow::Ok(())
        })
    };
    let leader = kafka.leader(TOPIC, 0).await?;
    kafka.kill9(leader)?;
    eventually("another leads", async || {
        Ok(kafka.leader(TOPIC, 0).await? != leader)
    })
    .await?;
    kafka.start_again(leader)?;
    kafka.in_sync(TOPIC).await?;
    let leader = kafka.leader(TOPIC, 0).await?;
    kafka.freeze(leader)?;
    eventually("another leads", async || {
        let seen = kafka.leader(TOPIC, 0).await;
        Ok(seen.is_ok_and(|now| now != leader))
    })
    .await?;
    kafka.thaw(leader)?;
    kafka.restart_all().await?;
    relay.await??;
    kafka.in_sync(TOPIC).await?;

    let records = kafka.consume_all(TOPIC).await?;
    for user in 0..10 {
        let key = Uuid::from_u128(user).to_string();
        let of_user: Vec<_> = records
            .iter()
            .filter(|record| record.key.as_deref() == Some(key.as_bytes()))
            .cloned()
            .collect();
        let mut first_deliveries = Vec::new();
        for id in ids(&of_user) {
            if !first_deliveries.contains(&id) {
                first_deliveries.push(id);
            }
        }
        let expected: Vec<_> = (0..40)
            .map(|round| Uuid::from_u128(round * 10 + user))
            .collect();
        assert_eq!(first_deliveries, expected);
    }
    Ok(())
}
