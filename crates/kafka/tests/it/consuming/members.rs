//! Members of a group that come and go, and partitions with them.

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use sso_config::remote::Credential;
use sso_kafka::{
    Sasl,
    consumer::{ConsumerSettings, dead_letter::DeadLetterTopic},
};
use sso_testkit::servers::{kafka::Kafka, registry::Registry};
use tokio::time::sleep;

use super::{DEAD_LETTERS, GROUP, Notes, Running, dead_letter_topic, topics};
use crate::support::{TOPIC, deliver_all, events, eventually, secure, sink};

/// The brokers show the topic to whoever may describe it, and say once that he may not read.
#[tokio::test]
async fn a_group_that_may_not_read_says_so_until_it_may() -> Result<()> {
    let kafka = Kafka::start_secure().await?;
    kafka.create_topic(TOPIC, 1).await?;
    kafka.create_topic(DEAD_LETTERS, 1).await?;
    let registry = Registry::in_memory()?;
    deliver_all(&sink(&kafka, &registry)?, &events(0..1)).await?;
    kafka.produce(DEAD_LETTERS, b"a", b"b", &[]).await?;
    kafka.allow_reads("mallory").await?;
    let mallory = Sasl::ScramSha256 {
        user: "mallory".into(),
        password: Credential::new("mallory-secret"),
    };
    let mallory = secure(&kafka, mallory)?;
    let notes = Arc::new(Notes::default());
    let running = Running::start_with(&kafka, &registry, &notes, |settings| {
        settings.connection = mallory.clone();
    })?;
    let told = "the brokers do not let group tests read topic registration";
    eventually("it says so", async || {
        let trouble = running.health.look().await;
        Ok(trouble.is_some_and(|trouble| trouble.contains(told)))
    })
    .await?;
    assert!(notes.seen().is_empty());
    let letters = DeadLetterTopic {
        connection: mallory,
        ..dead_letter_topic(&kafka)
    };
    assert!(letters.list(10).await.is_err());

    kafka.allow_group("mallory", GROUP).await?;
    eventually("it is handled", async || Ok(notes.count() == 1)).await?;
    assert_eq!(running.health.look().await, None);
    // No other group is asked for.
    assert_eq!(letters.list(10).await?.len(), 1);
    running.stop().await
}

#[tokio::test]
async fn members_that_come_and_go_lose_nothing() -> Result<()> {
    let (kafka, registry) = topics(6).await?;
    let sink = sink(&kafka, &registry)?;
    let notes = Arc::new(Notes::default());
    let small = |settings: &mut ConsumerSettings| {
        settings.pending = 20;
        settings.ahead = 40;
    };
    let first = Running::start_with(&kafka, &registry, &notes, small)?;
    deliver_all(&sink, &events(0..300)).await?;
    let second = Running::start_with(&kafka, &registry, &notes, small)?;
    deliver_all(&sink, &events(300..600)).await?;
    first.stop().await?;
    let third = Running::start_with(&kafka, &registry, &notes, small)?;
    deliver_all(&sink, &events(600..900)).await?;
    eventually("each is handled", async || Ok(notes.count() == 900)).await?;
    second.stop().await?;
    third.stop().await
}

/// Of the 300 events of these tests it takes no more once it has most.
fn full(settings: &mut ConsumerSettings) {
    settings.pending = 290;
}

/// What was pending in partitions that went is pending no more, and those that come are read.
#[tokio::test]
async fn a_full_member_reads_on_after_others_had_its_partitions() -> Result<()> {
    let (kafka, registry) = topics(6).await?;
    deliver_all(&sink(&kafka, &registry)?, &events(0..300)).await?;
    let notes = Arc::new(Notes::closed());
    let member = Running::start_with(&kafka, &registry, &notes, full)?;
    eventually("it is full", async || Ok(notes.count() >= 290)).await?;

    let others = Arc::new(Notes::closed());
    let second = Running::start(&kafka, &registry, &others)?;
    let third = Running::start(&kafka, &registry, &others)?;
    eventually("most of it went", async || Ok(others.count() > 150)).await?;
    second.stop().await?;
    third.stop().await?;
    notes.open();
    eventually("all came back", async || Ok(notes.count() == 300)).await?;
    member.stop().await
}

/// The same, and in time: errors of the client delay no rebalance.
#[tokio::test]
async fn a_full_member_reads_on_after_no_broker_answered_for_longer_than_a_session() -> Result<()> {
    let (mut kafka, registry) = topics(6).await?;
    deliver_all(&sink(&kafka, &registry)?, &events(0..300)).await?;
    let notes = Arc::new(Notes::closed());
    let member = Running::start_with(&kafka, &registry, &notes, full)?;
    eventually("it is full", async || Ok(notes.count() >= 290)).await?;

    kafka.kill_all();
    eventually("its partitions went", async || {
        let before = notes.seen().len();
        sleep(Duration::from_secs(3)).await;
        Ok(notes.seen().len() == before)
    })
    .await?;
    kafka.start_all().await?;
    notes.open();
    eventually("they came back", async || Ok(notes.count() == 300)).await?;
    member.stop().await
}
