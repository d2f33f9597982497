//! Members of a group that come and go, and partitions with them.

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use sso_kafka::consumer::ConsumerSettings;
use tokio::time::sleep;

use super::{Notes, Running, topics};
use crate::support::{deliver_all, events, eventually, sink};

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
